-- How long scans are kept, which schedule a scan belongs to, and when a schedule rests.
alter table scan add column schedule_id text;
create index scan_of_schedule on scan (tenant_id, schedule_id, created_at desc)
    where schedule_id is not null;
create index scan_to_expire on scan (completed_at) where config ? 'keepDays';

alter table schedule
    add column keep_last integer check (keep_last >= 1),
    add column paused_at timestamptz,
    -- Scans in a row that HubSpot refused the token of.
    add column refusals smallint not null default 0;

-- Count the refusals of a schedule's scans; enough of them pause it and are told.
create function note_refusal(scan_ uuid, most integer) returns bigint language sql as $$
    with ended as (
        select *, status = 'failed' and errors -> -1 ->> 'code' = 'HUBSPOT_AUTH_ERROR' as refused
        from scan where id = scan_ and schedule_id is not null and status in ('completed', 'failed')
    ), counted as (
        update schedule set
            refusals = case when refused then refusals + 1 else 0 end,
            paused_at = case when refused and refusals + 1 >= most
                then coalesce(paused_at, clock_timestamp()) else paused_at end
        from ended
        where schedule.tenant_id = ended.tenant_id and schedule.schedule_id = ended.schedule_id
        returning schedule.*, ended.id as scan, refused and refusals = most as just_paused)
    select coalesce(sum(tell(tenant_id, 'schedule.paused', scan::text, jsonb_build_object(
        'tenantId', tenant_id, 'organizationId', organization_id, 'scheduleId', schedule_id,
        'pausedAt', moment_text(paused_at), 'code', 'HUBSPOT_AUTH_ERROR'))), 0)::bigint
    from counted where just_paused $$;
