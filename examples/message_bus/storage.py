"""The storage of the bus: an sqlite file with a table of messages, and a table of what each subscriber has received."""
import contextlib
import sqlite3
import threading

TABLES = """
    create table if not exists messages (number integer primary key, topic text, text text);
    create table if not exists subscriptions (subscriber text, topic text, seen integer, primary key (subscriber, topic));
"""


class Storage:
    def __init__(self, path):
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False)
        with self._lock, self._database:
            self._database.executescript(TABLES)

    @contextlib.contextmanager
    def _transaction(self):
        with self._lock, self._database:
            yield self._database.cursor()

    def add(self, topic, text):
        with self._transaction() as cursor:
            cursor.execute("insert into messages (topic, text) values (?, ?)", (topic, text))
            return cursor.lastrowid

    def subscribe(self, subscriber, topic):
        """Begin with the messages from now on; an existing subscription is not changed."""
        with self._transaction() as cursor:
            cursor.execute("insert or ignore into subscriptions select ?, ?, ifnull(max(number), 0) from messages",
                           (subscriber, topic))

    def unseen(self, subscriber, limit):
        with self._transaction() as cursor:
            return cursor.execute(
                "select number, messages.topic, text from messages join subscriptions using (topic)"
                " where subscriber = ? and number > seen order by number limit ?", (subscriber, limit)).fetchall()

    def mark_seen(self, subscriber, number):
        with self._transaction() as cursor:
            cursor.execute("update subscriptions set seen = max(seen, ?) where subscriber = ?", (number, subscriber))

    def topics(self):
        with self._transaction() as cursor:
            return dict(cursor.execute("select topic, count(*) from messages group by topic").fetchall())

    def close(self):
        self._database.close()
