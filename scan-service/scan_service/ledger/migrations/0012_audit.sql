-- Which key did what, when and from where: every request that changes something or takes data out.
create table audit (
    id bigint generated always as identity primary key,
    tenant_id text not null references tenant,
    at timestamptz not null default clock_timestamp(),
    key_id uuid not null,
    key_name text not null,
    address text not null,
    operation text not null,
    subject text,
    status smallint, -- null: it has not been answered, or its server died before it could say so
    correlation_id text not null
);
create index on audit (tenant_id, id desc);
create index on audit (at);
alter table audit enable row level security;
create policy own on audit using (tenant_id = current_tenant());
grant select on audit to scan_service_tenant;
