-- How values of results are printed; PostgreSQL prints them, so decimals stay exact.

-- UTC with seconds, and with milliseconds only where there are any.
create function moment_text(value timestamptz) returns text language sql immutable parallel safe
    return case when value is null then null else
        to_char(value at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS')
        || case when date_trunc('second', value) = value then '' else to_char(value, '.MS') end
        || 'Z' end;

-- A spreadsheet takes a text that begins like a formula for one.
create function csv_text(value text) returns text language sql immutable parallel safe
    return case when value ~ E'^[=+\\-@\t\r\n]' then '''' || value else value end;

-- Multi-select values as one text, like HubSpot's own.
create function joined_text(value jsonb) returns text language sql immutable parallel safe
    return (select string_agg(item, ';') from jsonb_array_elements_text(value) as item);

create function csv_value(value jsonb) returns text language sql immutable parallel safe
    return case jsonb_typeof(value)
        when 'null' then null
        when 'string' then csv_text(value #>> '{}')
        when 'array' then csv_text(joined_text(value))
        when 'object' then csv_text(value::text)
        else value #>> '{}' end;

-- The same uuid for the same deal of the same scan, always (version 8: SHA-256 of the three names;
-- PostgreSQL has no SHA-1, which version 5 would need).
create function deal_uuid(tenant text, scan text, deal text) returns uuid
    language sql immutable parallel safe
    return encode(set_byte(set_byte(
        substring(sha256(convert_to(tenant || '/' || scan || '/' || deal, 'UTF8')) for 16),
        6, get_byte(sha256(convert_to(tenant || '/' || scan || '/' || deal, 'UTF8')), 6) & 15 | 128),
        8, get_byte(sha256(convert_to(tenant || '/' || scan || '/' || deal, 'UTF8')), 8) & 63 | 128),
        'hex')::uuid;

-- {"contacts": [{"id", "types": [...]}]} with the document's `type` beside each id.
create function links_json(links jsonb, wanted text[]) returns json
    language sql immutable parallel safe
    return (select coalesce(json_object_agg(kind, coalesce((
            select json_agg(json_build_object(
                'id', link ->> 'id',
                'type', 'deal_to_' || case kind
                    when 'companies' then 'company' when 'postal_mail' then 'postal_mail'
                    else regexp_replace(kind, 's$', '') end,
                'types', coalesce(link -> 'types', '[]')))
            from jsonb_array_elements(links -> kind) as link), '[]')), '{}')
        from unnest(wanted) as kind);

create function link_ids(links jsonb) returns text language sql immutable parallel safe
    return (select string_agg(link ->> 'id', ';') from jsonb_array_elements(links) as link);
