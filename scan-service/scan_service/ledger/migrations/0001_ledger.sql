-- The ledger: who may ask, what was ordered, how far it is.

create table tenant (
    tenant_id text primary key,
    max_running smallint not null default 5 check (max_running between 1 and 100),
    created_at timestamptz not null default now()
);

create table api_key (
    id uuid primary key default gen_random_uuid(),
    tenant_id text not null references tenant,
    name text not null,
    hash bytea not null unique,
    hint text not null,
    permissions text[] not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz
);

create table schedule (
    id uuid primary key default gen_random_uuid(),
    tenant_id text not null references tenant,
    schedule_id text not null,
    organization_id text,
    cron text not null,
    config jsonb not null,
    fingerprint text not null,
    token bytea not null,
    created_at timestamptz not null default now(),
    next_run_at timestamptz not null,
    last_scan_id text,
    last_error text,
    unique (tenant_id, schedule_id)
);
create index on schedule (next_run_at);

create table scan (
    id uuid primary key default gen_random_uuid(),
    tenant_id text not null references tenant,
    scan_id text not null,
    organization_id text,
    status text not null default 'pending'
        check (status in ('pending', 'running', 'completed', 'failed', 'cancelled')),
    config jsonb not null,
    fingerprint text not null,
    token bytea,
    state jsonb,
    -- The order in which scans were asked for: FIFO within a tenant.
    place bigint generated always as identity,
    -- One of the tenant's places to run; the unique index below is the limit itself.
    slot smallint check (slot >= 1),
    admitted_at timestamptz,
    -- The engine's job that may take this scan, and the run that holds it (the fence).
    job_id bigint,
    run_id uuid,
    worker text,
    seen_at timestamptz,
    attempt smallint not null default 0,
    runs integer not null default 0,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    completed_at timestamptz,
    total_items bigint,
    processed_items bigint not null default 0,
    failed_items bigint not null default 0,
    errors jsonb not null default '[]',
    summary text, -- JSON as PostgreSQL printed it; it goes out unread
    columns jsonb,
    unique (tenant_id, scan_id),
    -- A finished scan holds no secret.
    check (token is null or status in ('pending', 'running'))
);
create unique index scan_slot on scan (tenant_id, slot) where slot is not null;
create index scan_waiting on scan (tenant_id, place) where status = 'pending' and slot is null;
create index scan_held on scan (seen_at) where slot is not null;
create index scan_listed on scan (tenant_id, created_at, id);

-- What a scan came to; it outlives the scan, so that removing one does not rewrite history.
create table outcome (
    id uuid primary key,
    tenant_id text not null references tenant,
    status text not null check (status in ('completed', 'failed', 'cancelled')),
    deals bigint not null,
    seconds double precision,
    completed_at timestamptz not null
);
create index on outcome (tenant_id, completed_at);

-- Where the last completed scan of a kind ended: an incremental one goes on from here.
create table bookmark (
    tenant_id text not null references tenant,
    fingerprint text not null,
    state jsonb not null,
    read_at timestamptz not null,
    primary key (tenant_id, fingerprint)
);

-- Losing the buckets in a crash of the database only means that they are full again.
create unlogged table bucket (
    tenant_id text primary key,
    tokens double precision not null,
    allowed boolean not null,
    at timestamptz not null
);

-- Requests act as this role: it sees one tenant, also in a query that forgot its WHERE.
do $$
begin
    -- Who may not make roles may not even ask for one that is there.
    if not exists (select from pg_roles where rolname = 'scan_service_tenant') then
        create role scan_service_tenant nologin;
    end if;
exception
    when duplicate_object or unique_violation then null;
end $$;
-- Since PostgreSQL 16 who makes a role may grant it, but not act as it before having done so.
do $$
begin
    if not (select rolsuper from pg_roles where rolname = current_user) then
        execute format('grant scan_service_tenant to %I', current_user);
    end if;
exception
    when insufficient_privilege then null; -- an administrator has made and granted it
end $$;

create function current_tenant() returns text language sql stable
    return nullif(current_setting('app.tenant_id', true), '');

alter table scan enable row level security;
alter table schedule enable row level security;
alter table outcome enable row level security;
alter table tenant enable row level security;
alter table api_key enable row level security;
alter table bookmark enable row level security;
create policy own on scan using (tenant_id = current_tenant());
create policy own on schedule using (tenant_id = current_tenant());
create policy own on outcome using (tenant_id = current_tenant());
create policy own on tenant using (tenant_id = current_tenant());
create policy own on api_key using (tenant_id = current_tenant());
create policy own on bookmark using (tenant_id = current_tenant());

grant usage on schema scan_service to scan_service_tenant;
grant select, insert, update, delete on scan, schedule to scan_service_tenant;
grant select on outcome, tenant, bookmark to scan_service_tenant;

-- The target makes the results' tables; requests read and remove rows there, under its policies.
create schema if not exists scans;
grant usage on schema scans to scan_service_tenant;
grant select, delete on all tables in schema scans to scan_service_tenant;
alter default privileges in schema scans grant select, delete on tables to scan_service_tenant;
