-- What holds up the run that is under way, as its log tells it; shown while it runs only.
alter table scan add column live jsonb not null default '{}';
