-- Sessions of the web pages: each stands for a key and is known by the hash of its cookie.
create table page_session (
    hash bytea primary key,
    key_id uuid not null references api_key on delete cascade,
    tenant_id text not null references tenant,
    created_at timestamptz not null default clock_timestamp(),
    ends_at timestamptz not null
);
create index on page_session (ends_at);
create index on page_session (tenant_id);
alter table page_session enable row level security;
create policy own on page_session using (tenant_id = current_tenant());
