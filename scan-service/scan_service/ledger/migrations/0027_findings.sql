-- What a scan found that verified another one, as its status tells it; null of all other scans.
alter table scan add column findings jsonb;
