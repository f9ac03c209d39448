-- Loaders act as this role: it sees and writes the rows of the one scan whose run they are.
do $$
begin
    -- Who may not make roles may not even ask for one that is there.
    if not exists (select from pg_roles where rolname = 'scan_service_loader') then
        create role scan_service_loader nologin;
    end if;
exception
    when duplicate_object or unique_violation then null;
end $$;
-- The service ends its sessions too, so it has to be a member. See 0001.
do $$
begin
    if not (select rolsuper from pg_roles where rolname = current_user) then
        execute format('grant scan_service_loader to %I', current_user);
    end if;
exception
    when insufficient_privilege then null; -- an administrator has made and granted it
end $$;
grant usage on schema scans to scan_service_loader;

-- Which run has which scan is asked at every report, and for every statement of a loader.
create unique index scan_run on scan (run_id) where run_id is not null;

-- The scan whose run a session is, as long as it has that scan. A run's id is a secret between the
-- worker and its loader.
create function loading(out tenant_id text, out scan_id text) language sql stable
    security definer set search_path = scan_service, pg_temp
    begin atomic
        select scan.tenant_id, scan.scan_id from scan
        where run_id = nullif(current_setting('app.run_id', true), '')::uuid;
    end;
revoke execute on function loading from public;
grant execute on function loading to scan_service_loader;
