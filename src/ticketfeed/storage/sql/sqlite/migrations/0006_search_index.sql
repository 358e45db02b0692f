-- The search index: of each ticket or record that a search finds, its numbers here and its words in search_text, whose
-- rowid is entry_id. target_id: what a hit finds, for an audit or a metric set its ticket.
CREATE TABLE search_entry (
    entry_id    INTEGER PRIMARY KEY,
    account_id  INTEGER NOT NULL,
    kind        TEXT NOT NULL,
    id          INTEGER NOT NULL,
    target_id   INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER,
    due_at      INTEGER,
    solved_at   INTEGER,
    status      INTEGER,
    priority    INTEGER,
    ticket_type INTEGER
);

CREATE UNIQUE INDEX search_entry_by_id ON search_entry (account_id, kind, id);
-- Conditions on numbers read this index alone: a third of the time that the rows would take.
CREATE INDEX search_entry_by_creation ON search_entry (
    account_id, kind, created_at, id, status, priority, ticket_type, updated_at, due_at, solved_at, target_id
);

-- The texts themselves are not stored again. To remove an entry, its words are made again from the stored row.
CREATE VIRTUAL TABLE search_text USING fts5 (
    title, text, notes, other, terms,
    content = '', columnsize = 0, tokenize = 'ascii tokenchars ''_='''
);
-- Words that are removed leave no bytes in the file.
INSERT INTO search_text (search_text, rank) VALUES ('secure-delete', 1);
-- Words that a transaction collects before it writes them, in bytes: a load merges less with more.
INSERT INTO search_text (search_text, rank) VALUES ('hashsize', 16777216);
-- The version of what entries hold that the index was filled with; 0: not filled yet.
INSERT INTO meta (name, value) VALUES ('search_index_version', '0');
