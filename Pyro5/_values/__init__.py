"""
Conversion between Python objects and the plain data that serializers write.

Imported by the serializers, and by modules that register their own classes; it imports nothing but the errors and the
settings. Start reading at ``classes``, the registry of converters.
"""
