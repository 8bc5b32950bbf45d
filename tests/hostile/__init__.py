"""A catalogue of attacks. Each is made on a server process of either type; then a well-behaved client must be served at once,
and the server must have no more memory, threads and open files than before.

* server: the process that is attacked
* target: what an attacker, and who looks after the server, can do with it
* attack: what an attack is, and the runner
* stalling, headers, bombs, payloads, crowds, encrypted, http: the attacks, as tables
* catalogue: all of them; suite: the tests that make them

``python -m tests.hostile`` runs them in large: thousands of clients where the tests take hundreds.
"""
