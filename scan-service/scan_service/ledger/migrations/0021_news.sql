-- Whoever watches a scan is told when it changes; the payload is an id, which says nothing.
create function tell_of_scan() returns trigger language plpgsql as $$
begin
    perform pg_notify('scan_service_news', old.id::text);
    return null;
end $$;
create trigger told_of_changes after update on scan for each row
    when ((old.status, old.processed_items, old.failed_items, old.total_items, old.run_id,
           old.objects, old.errors, old.live, old.records)
        is distinct from (new.status, new.processed_items, new.failed_items, new.total_items,
           new.run_id, new.objects, new.errors, new.live, new.records))
    execute function tell_of_scan();
create trigger told_of_removal after delete on scan for each row execute function tell_of_scan();
