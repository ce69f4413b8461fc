-- lessons.db of version 1, as its first program wrote it
CREATE TABLE lesson (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    teacher TEXT NOT NULL,
    spam_user TEXT NOT NULL,
    message_class TEXT NOT NULL,
    message_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    outcome TEXT NOT NULL,
    why TEXT NOT NULL
);
CREATE INDEX lesson_at ON lesson (at);
CREATE INDEX lesson_teacher ON lesson (teacher, at);
CREATE INDEX lesson_digest ON lesson (digest);
INSERT INTO lesson VALUES (1, 1800000000.5, 'bob@example.org', '', 'spam', '<1@sender.example>', x'0102', 'failed', 'no answer in time');
PRAGMA user_version = 1;
