-- The search index: of each ticket or record that a search finds, its numbers and its words. target_id: what a hit
-- finds, for an audit or a metric set its ticket.
CREATE TABLE ticketfeed.search_entry (
    account_id  bigint NOT NULL,
    kind        text NOT NULL,
    id          bigint NOT NULL,
    target_id   bigint NOT NULL,
    created_at  bigint NOT NULL,
    updated_at  bigint,
    due_at      bigint,
    solved_at   bigint,
    status      smallint,
    priority    smallint,
    ticket_type smallint,
    words       tsvector NOT NULL,
    PRIMARY KEY (account_id, kind, id)
);

-- Conditions on numbers read this index alone.
CREATE INDEX search_entry_by_creation ON ticketfeed.search_entry (account_id, kind, created_at, id)
INCLUDE (status, priority, ticket_type, updated_at, due_at, solved_at, target_id);
CREATE INDEX search_entry_words ON ticketfeed.search_entry USING gin (words);

-- The version of what entries hold that the index was filled with; 0: not filled yet.
INSERT INTO ticketfeed.meta (name, value) VALUES ('search_index_version', '0');
