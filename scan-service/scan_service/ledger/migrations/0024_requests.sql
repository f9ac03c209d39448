-- Requests of a scan to HubSpot over its time, against the account's limit (`pipeline.pace`).
alter table scan add column requests jsonb not null default '{}';
