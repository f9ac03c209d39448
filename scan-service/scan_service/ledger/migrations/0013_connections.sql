-- A tenant's HubSpot accounts, each connected once and named in scans and schedules.
create table connection (
    id uuid primary key default gen_random_uuid(),
    tenant_id text not null references tenant,
    connection_id text not null,
    kind text not null check (kind in ('token', 'oauth')),
    secret bytea, -- sealed: a token, or an app's refresh token; null until the user has said yes
    -- While a user is asked: whoever brings the state back is the one who was sent.
    state_hash bytea unique,
    verifier bytea,
    asked_until timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    connected_at timestamptz,
    unique (tenant_id, connection_id)
);
alter table connection enable row level security;
create policy own on connection using (tenant_id = current_tenant());
grant select, insert, update, delete on connection to scan_service_tenant;

-- A schedule that names a connection holds no token of its own.
alter table schedule alter column token drop not null;
