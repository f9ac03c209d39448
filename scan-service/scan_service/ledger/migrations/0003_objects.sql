-- Scans of more than deals (config.objects): what they come to, by object type.

-- {"contacts": {"total": 523, "processed": 300, "failed": 2}}; null where the scan names no types.
alter table scan add column objects jsonb;
-- {"contacts": 300}; null where the scan named no types.
alter table outcome add column objects jsonb;

-- As the older function of this name, but told what each kind of link is called. The older one
-- stays for servers that still run while this is applied.
create function links_json(links jsonb, kinds text[], types text[]) returns json
    language sql immutable parallel safe
    return (select coalesce(json_object_agg(kind, coalesce((
            select json_agg(json_build_object(
                'id', link ->> 'id', 'type', type, 'types', coalesce(link -> 'types', '[]')))
            from jsonb_array_elements(links -> kind) as link), '[]')), '{}')
        from unnest(kinds, types) as asked(kind, type));
