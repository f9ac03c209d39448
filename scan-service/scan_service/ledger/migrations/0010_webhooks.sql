-- Who wants to be told what, and what is still to be told. An event is written in the transaction
-- that makes it true, so that no worker's death comes between a scan's end and its call.
create table webhook (
    id uuid primary key default gen_random_uuid(),
    tenant_id text not null references tenant,
    webhook_id text not null,
    url text not null,
    secret bytea not null,
    events text[] not null,
    created_at timestamptz not null default clock_timestamp(),
    paused_at timestamptz, -- its receiver said that it is gone (410)
    unique (tenant_id, webhook_id)
);

create table delivery (
    id uuid primary key default gen_random_uuid(),
    webhook uuid not null references webhook on delete cascade,
    tenant_id text not null references tenant,
    event text not null,
    subject text not null, -- what it is about; nothing is told twice
    data jsonb not null,
    created_at timestamptz not null default clock_timestamp(),
    due_at timestamptz default clock_timestamp(), -- null: delivered, or given up
    attempts smallint not null default 0,
    delivered_at timestamptz,
    last_status smallint,
    last_error text,
    unique (webhook, event, subject)
);
create index on delivery (due_at) where due_at is not null;
create index on delivery (webhook, created_at);

alter table webhook enable row level security;
alter table delivery enable row level security;
create policy own on webhook using (tenant_id = current_tenant());
create policy own on delivery using (tenant_id = current_tenant());
grant select, insert, update, delete on webhook, delivery to scan_service_tenant;

-- Tell all webhooks of a tenant that want to know of an event.
create function tell(tenant text, event_ text, subject_ text, data_ jsonb) returns bigint
    language sql as $$
    with told as (
        insert into delivery (webhook, tenant_id, event, subject, data)
        select id, tenant_id, event_, subject_, data_ from webhook
        where tenant_id = tenant and event_ = any(events) and paused_at is null
        on conflict do nothing returning 1)
    select count(*) from told $$;

-- When it was told that a scan is late, and what the last scan of its kind found the account to have.
alter table scan add column late_at timestamptz;
alter table bookmark add column columns jsonb;
