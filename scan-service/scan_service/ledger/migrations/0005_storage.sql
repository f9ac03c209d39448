-- About how many bytes a finished scan's rows take; counted with its records.
alter table scan add column octets bigint not null default 0;
-- Scans that were counted without it are counted again.
update scan set records = null where records is not null;
