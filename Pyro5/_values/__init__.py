"""Conversion between Python objects and the plain data that serializers encode.

Imported by the serializers, and by modules that register their own classes. It imports only the errors and the settings.
Start reading at ``classes``, the registry of converters; ``recreation`` is the way back to objects.
"""
