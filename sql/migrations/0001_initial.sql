-- The spool as it was first released. Times: _s are seconds, _ms milliseconds since 1970. A message key ascends with
-- time and is never used twice; rows that belong to a message are numbered key * 65536 + position, so that they lie
-- together and need no index. Words are compared one by one: SQLite would make a table of a longer IN list, each time
-- a row is written.

CREATE TABLE message (
    key             INTEGER PRIMARY KEY,         -- internal number
    queue_id        TEXT    NOT NULL UNIQUE,     -- what people see
    sender          TEXT    NOT NULL,            -- envelope sender; '' is the null sender
    header_from     TEXT    NOT NULL,            -- address of the From field; '' when none could be read
    user            TEXT    NOT NULL,            -- who submitted: name or '#uid'
    uid             INTEGER NOT NULL,            -- the same as the kernel says it
    tag             TEXT,                        -- of the application; NULL: none
    accepted_at_ms  INTEGER NOT NULL,            -- ascends with key
    size_bytes      INTEGER NOT NULL CHECK (size_bytes >= 0),         -- with CRLF line ends
    is_8bit         INTEGER NOT NULL CHECK (is_8bit IN (0, 1)),       -- a byte above 127 in the body
    needs_smtputf8  INTEGER NOT NULL CHECK (needs_smtputf8 IN (0, 1)), -- a byte above 127 in envelope or header
    chunk_count     INTEGER NOT NULL CHECK (chunk_count >= 0),        -- rows of the body in chunk
    has_body        INTEGER NOT NULL CHECK (has_body IN (0, 1)),      -- 0: the body has been deleted
    recipient_count INTEGER NOT NULL CHECK (recipient_count > 0),     -- all of them
    open_count      INTEGER NOT NULL CHECK (open_count BETWEEN 0 AND recipient_count), -- queued, held, in-doubt
    delivered_count INTEGER NOT NULL CHECK (delivered_count BETWEEN 0 AND recipient_count), -- delivered
    final_at_s      INTEGER,                     -- when the last recipient became final; NULL while one is not
    accepted_event  INTEGER NOT NULL             -- event.number of its first event, which event_message leaves out
) STRICT;

-- What is not final: the usual listing.
CREATE INDEX message_open ON message (key) WHERE open_count > 0;
-- Bodies that wait for their end, one day after the last recipient became final.
CREATE INDEX message_body_final ON message (final_at_s) WHERE has_body = 1 AND final_at_s IS NOT NULL;

CREATE TABLE recipient (
    id            INTEGER PRIMARY KEY,           -- message key * 65536 + number in the envelope, from 0
    address       TEXT    NOT NULL,              -- as it goes into RCPT TO
    smarthost     TEXT    NOT NULL,              -- name in the configuration through which it is to go
    state         TEXT    NOT NULL CHECK (state = 'queued' OR state = 'held' OR state = 'in-doubt' OR state = 'delivered' OR
        state = 'failed' OR state = 'expired' OR state = 'cancelled'), -- recipient_state.h
    waiting       TEXT    CHECK (waiting = 'now' OR waiting = 'retry' OR waiting = 'rate' OR waiting = 'time' OR
        waiting = 'smarthost' OR waiting = 'account' OR waiting = 'sender'), -- for what; NULL: not queued
    due_at_s      INTEGER,                       -- not tried before; NULL: not by itself
    attempts      INTEGER NOT NULL CHECK (attempts >= 0), -- counted ones
    crashes       INTEGER NOT NULL CHECK (crashes >= 0),  -- attempts in a row that ended with our own crash
    changed_at_ms INTEGER NOT NULL,              -- last change of this row
    class         TEXT,                          -- of the last attempt, as are all below: verdict.h; NULL: none
    code          INTEGER,                       -- SMTP reply code; NULL: none
    enhanced      TEXT,                          -- enhanced status code, '5.1.1'; NULL: none
    reply         TEXT,                          -- text of the reply, escaped; NULL: none
    stage         TEXT,                          -- protocol step: verdict.h; NULL: none
    rule          TEXT                           -- the verdict's rule; NULL: none
) STRICT;

-- The backlog of a smarthost in the order in which it is due.
CREATE INDEX recipient_due ON recipient (smarthost, due_at_s) WHERE state = 'queued' OR state = 'in-doubt';
-- Listings by state. Not for 'queued' and 'delivered', in which nearly every row would cost two more page writes.
CREATE INDEX recipient_unusual ON recipient (state)
WHERE state <> 'queued' AND state <> 'delivered';

CREATE TABLE chunk (
    id   INTEGER PRIMARY KEY,                    -- message key * 65536 + position in the body, from 0
    data BLOB    NOT NULL                        -- 256 KiB each, the last may be shorter
) STRICT;

-- Chunks that are no message's: still arriving, or to be removed in small steps.
CREATE TABLE loose_body (
    key         INTEGER PRIMARY KEY,             -- of the chunks
    is_arriving INTEGER NOT NULL CHECK (is_arriving IN (0, 1)) -- 0: nobody wants them any more
) STRICT;

CREATE TABLE event (
    number      INTEGER PRIMARY KEY,             -- ascends with time
    at_ms       INTEGER NOT NULL,                -- when
    key         INTEGER,                         -- message; NULL: concerns none
    recipient   INTEGER,                         -- recipient.id; NULL: all of the message, or no message
    kind        TEXT    NOT NULL CHECK (kind = 'accepted' OR kind = 'attempt' OR kind = 'held' OR kind = 'released' OR
        kind = 'retried' OR kind = 'cancelled' OR kind = 'in-doubt' OR kind = 'expired' OR
        kind = 'crashed' OR kind = 'parked' OR kind = 'unparked'), -- what happened
    state       TEXT,                            -- what the recipient became; NULL: no recipient
    smarthost   TEXT,                            -- where; NULL: nowhere
    host        TEXT,                            -- 'name [address]:port' that answered; NULL: none
    stage       TEXT,                            -- protocol step: verdict.h; NULL: none
    class       TEXT,                            -- class of the verdict: verdict.h; NULL: none
    rule        TEXT,                            -- rule of the verdict; NULL: none
    code        INTEGER,                         -- SMTP reply code; NULL: none
    enhanced    TEXT,                            -- enhanced status code; NULL: none
    reply       TEXT,                            -- text of the reply, escaped; NULL: none
    duration_ms INTEGER,                         -- how long the attempt took; NULL: none
    uid         INTEGER                          -- who did it; NULL: the daemon
) STRICT;

-- The history of a message. Every one has been accepted, and most are delivered at once: half the entries are saved.
CREATE INDEX event_message ON event (key) WHERE key IS NOT NULL AND kind <> 'accepted';

CREATE TABLE smarthost (
    name           TEXT    PRIMARY KEY,          -- in the configuration
    is_parked      INTEGER NOT NULL CHECK (is_parked IN (0, 1)), -- nothing goes there until it is unparked
    parked_since_s INTEGER,                      -- NULL: not parked
    retry_at_s     INTEGER,                      -- next probe; NULL: only a human helps, or not parked
    class          TEXT,                         -- why it was last parked: verdict.h; NULL: none
    stage          TEXT,                         -- the step at which: verdict.h; NULL: none
    code           INTEGER,                      -- SMTP reply code; NULL: none
    enhanced       TEXT,                         -- enhanced status code; NULL: none
    reply          TEXT,                         -- text of the reply, escaped; NULL: none
    rule           TEXT                          -- rule of the verdict; NULL: none
) STRICT;

-- Time in which a smarthost was parked: messages do not age then.
CREATE TABLE parked_span (
    smarthost TEXT    NOT NULL,                  -- smarthost.name
    from_s    INTEGER NOT NULL,                  -- when it was parked
    until_s   INTEGER,                           -- when it was unparked; NULL: still is parked
    PRIMARY KEY (smarthost, from_s)
) STRICT, WITHOUT ROWID;

-- Kept up to date with every commit, so that nobody has to count.
CREATE TABLE smarthost_count (
    smarthost TEXT    NOT NULL,                  -- recipient.smarthost
    state     TEXT    NOT NULL,                  -- recipient.state
    count     INTEGER NOT NULL CHECK (count >= 0), -- recipients
    PRIMARY KEY (smarthost, state)
) STRICT, WITHOUT ROWID;

-- The highest number among rows that have been deleted, for numbers that are never used twice.
CREATE TABLE high_water (
    name  TEXT    PRIMARY KEY,                   -- of what: 'message-key'
    value INTEGER NOT NULL                       -- highest one deleted so far
) STRICT, WITHOUT ROWID;
INSERT INTO high_water (name, value) VALUES ('message-key', 0);
