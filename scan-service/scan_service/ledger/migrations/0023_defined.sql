-- What a scan found the account's properties to be, by object type and name: label, kind, whether it is
-- the account's own, and how many of the scan's records have a value. Empty of scans from before.
alter table scan add column defined jsonb not null default '{}';
