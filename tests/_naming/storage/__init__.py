"""What the tests of the storages share: the contract that each must fulfil, and name servers that get killed."""
