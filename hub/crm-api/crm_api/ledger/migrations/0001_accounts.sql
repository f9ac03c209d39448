-- Who may ask, what they made, and first answers.

create table user_account (
    id bigint generated always as identity primary key,
    -- As `models.address` gives it: one account per address.
    email text not null unique,
    firstname text not null,
    lastname text not null,
    phone text not null,
    contact_id text,
    password_hash text not null,
    -- A higher one makes all older tokens worthless.
    token_version integer not null default 1,
    state text not null default 'pending' check (state in ('pending', 'active', 'locked')),
    -- Whose registration this is while it is pending: another one may have taken it over.
    attempt uuid not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table deal (
    deal_id text primary key,
    user_id bigint not null references user_account on delete cascade,
    contact_id text not null,
    -- What HubSpot answered, for lists from tables that do not have it yet.
    shown jsonb not null,
    created_at timestamptz not null default now()
);
create index on deal (user_id);

create table ticket (
    ticket_id text primary key,
    user_id bigint references user_account on delete set null,
    deal_id text not null,
    -- The client's own word; HubSpot may know it by another name, or not at all.
    category text not null,
    shown jsonb not null,
    created_at timestamptz not null default now()
);
create index on ticket (deal_id);

-- The first answer to a request with an Idempotency-Key.
create table answer (
    user_id bigint not null references user_account on delete cascade,
    key text not null,
    fingerprint bytea not null,
    -- The value of HubSpot's unique property: whoever tries again writes the same record.
    request_key uuid not null,
    busy_until timestamptz not null,
    status smallint,
    body jsonb,
    at timestamptz not null default now(),
    primary key (user_id, key)
);
create index on answer (at);

-- Losing the buckets in a crash of the database only means that they are full again.
create unlogged table bucket (
    caller text primary key,
    tokens double precision not null,
    allowed boolean not null,
    at timestamptz not null
);
create index on bucket (at);
