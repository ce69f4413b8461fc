-- state.db of version 1, as its first program wrote it
CREATE TABLE triplet (
    origin TEXT NOT NULL,
    sender TEXT NOT NULL,
    recipient TEXT NOT NULL,
    first REAL NOT NULL,
    id TEXT NOT NULL,
    tries INTEGER NOT NULL,
    passed REAL NOT NULL,
    last REAL NOT NULL,
    times INTEGER NOT NULL,
    until REAL NOT NULL,
    PRIMARY KEY (origin, sender, recipient)
) WITHOUT ROWID;
CREATE INDEX triplet_until ON triplet (until);
CREATE TABLE bucket (
    name TEXT NOT NULL,
    key TEXT NOT NULL,
    allowed TEXT NOT NULL,
    full_at REAL NOT NULL,
    PRIMARY KEY (name, key, allowed)
) WITHOUT ROWID;
CREATE INDEX bucket_full_at ON bucket (full_at);
INSERT INTO triplet VALUES ('192.0.2.0/24', 'example.net', 'example.org', 1.5, '0123456789AB', 2, 0.0, 3.5, 0, 4000000000.0);
INSERT INTO bucket VALUES ('client', '192.0.2.7', '30/60', 4000000000.0);
PRAGMA user_version = 1;
