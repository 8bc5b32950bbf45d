"""Observation of calls: statistics, interceptors, stalled calls, tracing, and metrics as text.

Clients and servers import it; it imports neither of them. Start reading at ``statistics``.
"""
