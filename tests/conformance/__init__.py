"""What every combination of server type, transport and serializer must show; ``tests.test_conformance`` runs it on all."""
