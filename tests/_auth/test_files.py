"""Files with secrets."""
from __future__ import annotations

import os
import shutil
import tempfile
import unittest

from Pyro5 import errors
from Pyro5._auth import files, users


class FilesTestCase(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name: str = "lab.key") -> str:
        return os.path.join(self.folder, name)

    def write(self, content: bytes, mode: int = 0o600, name: str = "lab.key") -> str:
        path = self.path(name)
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, mode)
        return path


class Keys(FilesTestCase):
    def test_a_new_file(self) -> None:
        files.create(self.path(), files.new_key())
        self.assertEqual(32, len(files.load_key(self.path())))
        if os.name == "posix":
            self.assertEqual(0o600, os.stat(self.path()).st_mode & 0o777)
        with self.assertRaises(FileExistsError):
            files.create(self.path(), files.new_key())

    def test_other_keys(self) -> None:
        self.assertEqual(b"k" * 16, files.load_key(self.write(b"k" * 16)))
        self.assertEqual(b"z" * 64, files.load_key(self.write(b"z" * 64 + b"\r\n", name="other")))

    def test_what_is_no_key(self) -> None:
        for number, content in enumerate((b"", b"short", b"  \n")):
            with self.assertRaisesRegex(errors.SecurityError, "is not valid: a key has at least 16 bytes"):
                files.load_key(self.write(content, name="key%d" % number))
        with self.assertRaisesRegex(errors.SecurityError, "cannot read the key file .*missing: No such file"):
            files.load_key(self.path("missing"))

    @unittest.skipUnless(os.name == "posix", "needs modes of files")
    def test_files_of_others(self) -> None:
        for mode in (0o644, 0o640, 0o604, 0o602, 0o660):
            with self.assertRaisesRegex(errors.SecurityError, "can be used by others .*%04o.*chmod 600" % mode):
                files.load_key(self.write(b"k" * 32, mode, "key%o" % mode))

    @unittest.skipUnless(hasattr(os, "mkfifo"), "needs named pipes")
    def test_a_named_pipe_does_not_wait(self) -> None:
        os.mkfifo(self.path(), 0o600)
        with self.assertRaisesRegex(errors.SecurityError, "not a regular file"):
            files.load_key(self.path())
        with self.assertRaisesRegex(errors.SecurityError, "not a regular file|cannot read"):
            files.load_key(self.folder)


class Changes(FilesTestCase):
    def test_a_changed_file_is_read_again(self) -> None:
        file = files.SecretFile(self.write(b"one"), bytes, "test file")
        self.assertEqual(b"one", file.get())
        files.replace(self.path(), b"two two")
        self.assertEqual(b"two two", file.get())

    def test_an_unusable_change_leaves_the_last_content_in_use(self) -> None:
        file = files.SecretFile(self.write(b"k" * 16), files.parse_key, "test file")
        self.assertEqual(b"k" * 16, file.current())
        files.replace(self.path(), b"bad")
        with self.assertLogs("Pyro5.auth", "ERROR") as logs:
            for _ in range(3):
                self.assertEqual(b"k" * 16, file.current())
        self.assertEqual(1, len(logs.output))
        files.replace(self.path(), b"n" * 17)
        self.assertEqual(b"n" * 17, file.current())

    def test_one_that_was_never_usable(self) -> None:
        with self.assertRaises(errors.SecurityError):
            files.SecretFile(self.write(b"bad"), files.parse_key, "test file").current()

    def test_a_failed_write_leaves_nothing(self) -> None:
        with self.assertRaises(TypeError):
            files.replace(self.write(b"old"), None)  # type: ignore[arg-type]
        self.assertEqual(["lab.key"], os.listdir(self.folder))


class UsersFiles(FilesTestCase):
    def saved(self) -> str:
        document = users.load(self.path("users.json"))
        users.add_user(document, "alice", "secret", ["operator", "operator", "admin"])
        document["rules"] = {"operator": ["stage.*", "ns:register lab.*"], "admin": ["*"]}
        users.save(self.path("users.json"), document)
        return self.path("users.json")

    def test_there_and_back(self) -> None:
        found = users.open_file(self.saved()).get()
        self.assertEqual({"alice"}, set(found.by_name))
        self.assertEqual({"operator", "admin"}, found.by_name["alice"].roles)
        self.assertEqual({"operator", "admin"}, found.roles_for(found.members, "stage.move"))
        self.assertEqual({"admin"}, found.roles_for(found.members, "other.move"))
        self.assertEqual({"operator"}, found.roles_for(found.names, "lab.stage"))
        self.assertIsNone(found.roles_for(found.names, "office.stage"))

    def test_it_has_no_password(self) -> None:
        with open(self.saved(), "rb") as file:
            self.assertNotIn(b"secret", file.read())

    def test_malformed_files(self) -> None:
        good = users.load(self.saved())
        entry = good["users"]["alice"]
        for number, content in enumerate(("[", "[]", '{"users": []}', '{"users": {"bob": {}}}', '{"rules": {"a": "b"}}',
                                          '{"rules": {"a": [1]}}', '{"users": {"bob": {"roles": 1}}}', "[" * 100000)):
            with self.assertRaisesRegex(errors.SecurityError, "is not valid"):
                users.open_file(self.write(content.encode(), name="bad%d" % number))
        for key, value in (("salt", "eA=="), ("stored_key", "eA=="), ("iterations", 4095), ("iterations", True),
                           ("server_key", 5)):
            broken = {**good, "users": {"alice": {**entry, "scram-sha-256": {**entry["scram-sha-256"], key: value}}}}
            users.save(self.path("broken"), broken)
            with self.assertRaisesRegex(errors.SecurityError, "the entry of user 'alice' is malformed"):
                users.load(self.path("broken"))

    def test_names_and_passwords(self) -> None:
        document = users.load(self.path("new"))
        for name in ("", "_x", "a b", "x" * 65, "a\n", "a/b"):
            with self.assertRaisesRegex(ValueError, "is not a name for a user"):
                users.add_user(document, name, "secret", [])
        with self.assertRaisesRegex(ValueError, "empty"):
            users.add_user(document, "alice", "", [])
        self.assertEqual({}, document["users"])


if __name__ == "__main__":
    unittest.main()
