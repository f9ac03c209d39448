-- Results keep HubSpot's own properties in one object, as they always kept the tenant's own: no
-- tenant can use up the columns of a table, no name is cut, and no value moves with its type.

-- As `moment_text`, of the text that HubSpot sent; whatever else it is stays as it is.
create function moment_value(value text) returns text language sql stable parallel safe
    return case
        when value like '____-__-__T__:__:__.000Z' then left(value, 19) || 'Z'
        when value like '____-__-__T__:__:__.___Z' or value like '____-__-__T__:__:__Z' then value
        when value ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$'
            then moment_text(value::timestamptz)
        else value end;

-- Properties without some, their date-times printed like all others.
create function shown_properties(properties jsonb, hidden text[], moments text[]) returns jsonb
    language sql stable parallel safe
    return (properties - hidden) || coalesce((
        select jsonb_object_agg(name, to_jsonb(moment_value(properties ->> name)))
        from unnest(moments) as name where properties ? name), '{}');

-- A cell of CSV; nothing and an empty text are told apart as COPY does.
create function csv_quoted(value text) returns text language sql immutable parallel safe
    return case when value = '' or value ~ E'[",\r\n]'
        then '"' || replace(value, '"', '""') || '"' else value end;

-- Every hundredth record of a finished scan, in the order of its pages: any page is a step from one.
create table page_mark (
    -- No foreign key: marking a big scan would lock its row for as long as that takes.
    scan uuid not null,
    tenant_id text not null,
    object text not null,
    place bigint not null, -- how many records come before it
    record text not null,
    primary key (scan, object, place)
);
alter table page_mark enable row level security;
create policy own on page_mark using (tenant_id = current_tenant());
grant select, insert, update, delete on page_mark to scan_service_tenant;

-- {"deals": 300}: what a finished scan has; null until it has been counted.
alter table scan add column records jsonb;
create index scan_uncounted on scan (completed_at)
    where records is null and status in ('completed', 'failed', 'cancelled');

-- What `columns` says from now on: {"deals": {"standard": {"amount": "number"}, "custom": {...}}},
-- all that HubSpot defines while a scan runs, then what has a value. It was a list of names.
alter table scan alter column columns set default '{}', add column kinds jsonb not null default '{}';

-- Rows of before: every column that is a property becomes a name in the object. Names that
-- PostgreSQL cut, and second columns of a property that had changed its type, are told by the
-- column's comment.
do $$
declare
    result record;
    column_ record;
    found jsonb;
    pairs text[];
    objects text[];
    dropped text[];
    gone text;
begin
    for result in
        select oid, relname, relforcerowsecurity as forced from pg_class
        where relnamespace = 'scans'::regnamespace and relkind in ('r', 'p') and (
            select count(*) from pg_attribute where attrelid = pg_class.oid and not attisdropped
                and attname in ('_tenant_id', '_scan_id', 'id', 'unparsed_properties')) = 4
    loop
        execute format('alter table scans.%I add column if not exists properties jsonb', result.relname);
        found := '{}';
        dropped := '{}';
        pairs := '{}';
        objects := array['coalesce(properties, ''{}'')'];
        for column_ in
            select attname as name, format_type(atttypid, null) as type, coalesce(
                substring(col_description(attrelid, attnum) from '\[property: (.*)\]$'), attname
            ) as property
            from pg_attribute
            where attrelid = result.oid and attnum > 0 and not attisdropped
                and attname !~ '^_' and attname <> all ('{id,created_at,updated_at,archived,'
                'archived_at,merged_into,read_at,properties,custom_properties,unparsed_properties,'
                'associations,raw}'::text[])
            order by attnum
        loop
            -- PostgreSQL takes 100 arguments; of two columns of one property one is null.
            if cardinality(pairs) = 50 or found ? column_.property then
                objects := objects || format(
                    'jsonb_strip_nulls(jsonb_build_object(%s))', array_to_string(pairs, ', '));
                pairs := '{}';
            end if;
            dropped := dropped || column_.name::text;
            found := found || jsonb_build_object(column_.property, case column_.type
                when 'numeric' then 'number' when 'boolean' then 'boolean' when 'date' then 'day'
                when 'timestamp with time zone' then 'moment' when 'jsonb' then 'list'
                else 'text' end);
            pairs := pairs || format(
                case column_.type when 'timestamp with time zone' then '%L, moment_text(%I)'
                    else '%L, %I' end, column_.property, column_.name);
        end loop;
        if cardinality(pairs) > 0 then
            objects := objects || format(
                'jsonb_strip_nulls(jsonb_build_object(%s))', array_to_string(pairs, ', '));
        end if;
        if exists (select from pg_attribute where attrelid = result.oid and attname = '_extra'
                   and not attisdropped) then
            objects := objects || 'coalesce(_extra, ''{}'')'::text;
        end if;
        if cardinality(objects) > 1 then
            -- The policies bind the owner too: he would see no row.
            execute format('alter table scans.%I no force row level security', result.relname);
            execute format('update scans.%I set properties = %s',
                result.relname, array_to_string(objects, ' || '));
            if result.forced then
                execute format('alter table scans.%I force row level security', result.relname);
            end if;
        end if;
        update scan set kinds = kinds || jsonb_build_object(result.relname, jsonb_build_object(
            'standard', found, 'custom', coalesce((
                select jsonb_object_agg(name, 'json') from jsonb_array_elements_text(
                    case result.relname when 'deals' then columns -> 'custom'
                        else columns -> 'objects' -> result.relname -> 'custom' end) as name), '{}')))
        where status in ('completed', 'failed', 'cancelled');
        foreach gone in array dropped loop
            begin
                execute format('alter table scans.%I drop column %I', result.relname, gone);
            exception
                when dependent_objects_still_exist then null; -- somebody's view: it stays, empty
            end;
        end loop;
    end loop;
end $$;
update scan set columns = kinds;
alter table scan alter column columns set not null, drop column kinds;
