-- What a finished scan says about the pipeline: worked out when somebody first asks, then kept with it.
create table pipeline_figures (
    scan uuid not null references scan on delete cascade,
    tenant_id text not null,
    days integer not null, -- after which a deal counts as stalled
    answer text not null, -- JSON as PostgreSQL printed it; it goes out unread
    primary key (scan, days)
);
alter table pipeline_figures enable row level security;
create policy own on pipeline_figures using (tenant_id = current_tenant());
grant select, insert, update, delete on pipeline_figures to scan_service_tenant;
