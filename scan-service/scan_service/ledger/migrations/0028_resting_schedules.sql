-- A schedule rests, and that is told once, when its account cannot be used until somebody mends it.
create function pause_schedule(schedule_ uuid, subject text, code text, reason text) returns bigint
    language sql as $$
    with paused as (
        update schedule set paused_at = clock_timestamp(), last_error = reason
        where id = schedule_ and paused_at is null returning *)
    select coalesce(sum(tell(tenant_id, 'schedule.paused', subject, jsonb_build_object(
        'tenantId', tenant_id, 'organizationId', organization_id, 'scheduleId', schedule_id,
        'pausedAt', moment_text(paused_at), 'code', code, 'error', reason))), 0)::bigint
    from paused $$;

-- Count the refusals of a schedule's scans; enough of them pause it.
create or replace function note_refusal(scan_ uuid, most integer) returns bigint
    language plpgsql as $$
declare
    resting uuid;
begin
    update schedule set refusals = case when refused then refusals + 1 else 0 end
    from (
        select tenant_id, schedule_id,
            status = 'failed' and errors -> -1 ->> 'code' = 'HUBSPOT_AUTH_ERROR' as refused
        from scan where id = scan_ and status in ('completed', 'failed')) as ended
    where schedule.tenant_id = ended.tenant_id and schedule.schedule_id = ended.schedule_id
    returning case when refused and refusals >= most then id end into resting;
    return pause_schedule(resting, scan_::text, 'HUBSPOT_AUTH_ERROR',
        format('HubSpot refused the token of %s scans in a row', most));
end $$;
