-- A removed scan is gone at once, its rows are not: a million takes longer than a request may.
-- The note stays for days after the last row, since a frozen loader may thaw and write once more.
create table removal (
    scan uuid primary key,
    tenant_id text not null references tenant,
    scan_id text not null,
    asked_at timestamptz not null default clock_timestamp(),
    due_at timestamptz not null default clock_timestamp(), -- when to look for rows next
    emptied_at timestamptz, -- when none were left; until then nobody may use the name again
    unique (tenant_id, scan_id)
);
create index on removal (due_at);
alter table removal enable row level security;
create policy own on removal using (tenant_id = current_tenant());
grant select, insert, update, delete on removal to scan_service_tenant;
