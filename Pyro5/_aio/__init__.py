"""The asyncio client: connections with many calls in flight, awaitable calls, item streams, batches, name server lookups.

Imported by ``Pyro5.aio`` only; the only package that imports asyncio. Start reading at ``link``.
"""
