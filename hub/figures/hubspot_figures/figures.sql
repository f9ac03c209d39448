-- stages_of: the stages of a tenant's pipelines, as HubSpot describes them now.
CREATE FUNCTION stages_of(tenant text)
RETURNS TABLE (
    pipeline text, pipeline_label text, stage text, stage_label text,
    place integer, is_closed boolean, is_won boolean
)
LANGUAGE sql STABLE SET search_path FROM CURRENT SET enable_nestloop = off AS $$
    SELECT p.id, p.label, s ->> 'id', s ->> 'label', (s ->> 'display_order')::integer,
        coalesce((s -> 'metadata' ->> 'isClosed')::boolean, false),
        coalesce((s -> 'metadata' ->> 'isClosed')::boolean, false)
            AND coalesce((s -> 'metadata' ->> 'probability')::numeric, 0) = 1
    FROM deal_pipelines p, jsonb_array_elements(to_jsonb(p.stages)) s
    WHERE p._tenant_id = tenant AND p.removed_at IS NULL
$$;

-- deal_spans: from when to when each deal was there; archived, merged and deleted ones ended.
CREATE FUNCTION deal_spans(tenant text)
RETURNS TABLE (deal text, began timestamptz, ended timestamptz)
LANGUAGE sql STABLE SET search_path FROM CURRENT SET enable_nestloop = off AS $$
    WITH merges AS (
        SELECT h.record_id AS survivor, old AS deal, min(h."timestamp") AS merged_at
        FROM deal_property_history h, unnest(string_to_array(h.value, ';')) old
        WHERE h._tenant_id = tenant AND h.property = 'hs_merged_object_ids' AND old <> h.record_id
        GROUP BY 1, 2
    ),
    ends AS (SELECT m.deal, min(m.merged_at) AS merged_at FROM merges m GROUP BY 1),
    births AS (  -- what was merged counts under its own id until then, where that is known
        SELECT m.survivor AS deal, min(m.merged_at) AS merged_at
        FROM merges m JOIN deals d ON d._tenant_id = tenant AND d.id = m.deal
        GROUP BY 1
    )
    SELECT s.record_id, greatest(min(s.entered_at), b.merged_at),
        least(
            CASE WHEN d.archived THEN d.archived_at END,
            d.removed_at,
            CASE WHEN d.merged_into IS NOT NULL THEN coalesce(e.merged_at, d.read_at) END
        )
    FROM deal_stages s
    JOIN deals d ON d._tenant_id = tenant AND d.id = s.record_id
    LEFT JOIN ends e ON e.deal = s.record_id
    LEFT JOIN births b ON b.deal = s.record_id
    WHERE s._tenant_id = tenant
    GROUP BY s.record_id, b.merged_at, e.merged_at, d.archived, d.archived_at, d.removed_at,
        d.merged_into, d.read_at
$$;

-- deal_stays: the stays of deals; one before a gap lasts until the next that is known.
CREATE FUNCTION deal_stays(tenant text)
RETURNS TABLE (
    deal text, pipeline text, stage text, entered_at timestamptz, left_at timestamptz
)
LANGUAGE sql STABLE SET search_path FROM CURRENT SET enable_nestloop = off AS $$
    SELECT s.record_id, s.pipeline, s.stage, s.entered_at,
        CASE WHEN s.left_at IS NULL AND s.entered_at < l.entered_at THEN (
            SELECT min(n.entered_at) FROM deal_stages n
            WHERE n._tenant_id = tenant AND n.record_id = s.record_id
                AND n.entered_at > s.entered_at
        ) ELSE s.left_at END
    FROM deal_stages s
    JOIN (
        SELECT d.record_id, max(d.entered_at) AS entered_at
        FROM deal_stages d WHERE d._tenant_id = tenant GROUP BY d.record_id
    ) l ON l.record_id = s.record_id
    WHERE s._tenant_id = tenant
$$;

-- deals_on: every deal that was there at a moment, as it was then; amounts in the home currency.
CREATE FUNCTION deals_on(tenant text, moment timestamptz)
RETURNS TABLE (
    deal text, pipeline text, stage text, entered_at timestamptz, owner text, amount numeric,
    is_closed boolean, is_won boolean
)
LANGUAGE sql STABLE SET search_path FROM CURRENT SET enable_nestloop = off AS $$
    WITH latest AS (
        SELECT DISTINCT ON (h.record_id, h.property) h.record_id, h.property, h.value, h.value_number
        FROM deal_property_history h
        WHERE h._tenant_id = tenant AND h."timestamp" <= moment
            AND h.property IN ('amount_in_home_currency', 'hubspot_owner_id')
        ORDER BY h.record_id, h.property, h."timestamp" DESC, h.sequence DESC
    )
    SELECT p.deal, s.pipeline, s.stage, s.entered_at, nullif(o.value, ''), a.value_number,
        coalesce(n.is_closed, false), coalesce(n.is_won, false)
    FROM deal_spans(tenant) p
    JOIN deal_stays(tenant) s ON s.deal = p.deal
        AND s.entered_at <= moment AND (s.left_at IS NULL OR s.left_at > moment)
    LEFT JOIN latest a ON a.record_id = p.deal AND a.property = 'amount_in_home_currency'
    LEFT JOIN latest o ON o.record_id = p.deal AND o.property = 'hubspot_owner_id'
    LEFT JOIN stages_of(tenant) n ON n.pipeline = s.pipeline AND n.stage = s.stage
    WHERE p.began <= moment AND (p.ended IS NULL OR p.ended > moment)
$$;

-- pipeline_on: how many deals were in each stage at a moment, and their amounts.
CREATE FUNCTION pipeline_on(tenant text, moment timestamptz)
RETURNS TABLE (
    pipeline text, stage text, pipeline_label text, stage_label text,
    is_closed boolean, is_won boolean, deals bigint, amount numeric
)
LANGUAGE sql STABLE SET search_path FROM CURRENT SET enable_nestloop = off AS $$
    SELECT d.pipeline, d.stage, n.pipeline_label, n.stage_label, d.is_closed, d.is_won,
        count(*), coalesce(sum(d.amount), 0)
    FROM deals_on(tenant, moment) d
    LEFT JOIN stages_of(tenant) n ON n.pipeline = d.pipeline AND n.stage = d.stage
    GROUP BY d.pipeline, d.stage, n.pipeline_label, n.stage_label, d.is_closed, d.is_won, n.place
    ORDER BY d.pipeline, n.place, d.stage
$$;

-- waterfall: what made the open pipeline of one moment into that of a later one; the steps add up.
CREATE FUNCTION waterfall(tenant text, since timestamptz, until timestamptz)
RETURNS TABLE (step text, deals bigint, amount numeric)
LANGUAGE sql STABLE SET search_path FROM CURRENT SET enable_nestloop = off AS $$
    WITH both_ends AS (
        SELECT a.deal IS NOT NULL AS was, coalesce(a.is_closed, true) AS was_closed,
            coalesce(a.amount, 0) AS before,
            b.deal IS NOT NULL AS here, coalesce(b.is_closed, true) AS now_closed, b.is_won,
            coalesce(b.amount, 0) AS after
        FROM deals_on(tenant, since) a FULL JOIN deals_on(tenant, until) b ON b.deal = a.deal
    ),
    steps AS (
        SELECT 1 AS place, 'opening' AS step, before AS amount FROM both_ends
            WHERE was AND NOT was_closed
        UNION ALL SELECT 2, 'created', after FROM both_ends WHERE here AND NOT was
        UNION ALL SELECT 3, 'reopened', after FROM both_ends
            WHERE was AND was_closed AND here AND NOT now_closed
        UNION ALL SELECT 4, 'increased', after - before FROM both_ends
            WHERE was AND NOT was_closed AND here AND after > before
        UNION ALL SELECT 5, 'decreased', after - before FROM both_ends
            WHERE was AND NOT was_closed AND here AND after < before
        UNION ALL SELECT 6, 'won', -after FROM both_ends
            WHERE here AND now_closed AND is_won AND NOT (was AND was_closed)
        UNION ALL SELECT 7, 'lost', -after FROM both_ends
            WHERE here AND now_closed AND NOT is_won AND NOT (was AND was_closed)
        UNION ALL SELECT 8, 'removed', -before FROM both_ends WHERE was AND NOT was_closed AND NOT here
        UNION ALL SELECT 9, 'closing', after FROM both_ends WHERE here AND NOT now_closed
    )
    SELECT n.step, count(s.step), coalesce(sum(s.amount), 0)
    FROM unnest(ARRAY['opening', 'created', 'reopened', 'increased', 'decreased', 'won', 'lost',
        'removed', 'closing']) WITH ORDINALITY n (step, place)
    LEFT JOIN steps s ON s.step = n.step
    GROUP BY n.step, n.place ORDER BY n.place
$$;

-- time_in_stage: how long deals were in each stage between two moments.
CREATE FUNCTION time_in_stage(tenant text, since timestamptz, until timestamptz)
RETURNS TABLE (
    pipeline text, stage text, deals bigint, stays bigint, seconds numeric, seconds_a_deal numeric
)
LANGUAGE sql STABLE SET search_path FROM CURRENT SET enable_nestloop = off AS $$
    WITH clipped AS (
        SELECT s.deal, s.pipeline, s.stage, greatest(s.entered_at, p.began, since) AS start,
            least(s.left_at, p.ended, until) AS stop
        FROM deal_stays(tenant) s JOIN deal_spans(tenant) p ON p.deal = s.deal
    )
    SELECT c.pipeline, c.stage, count(DISTINCT c.deal), count(*),
        sum(extract(epoch FROM c.stop - c.start)),
        round(sum(extract(epoch FROM c.stop - c.start)) / count(DISTINCT c.deal), 3)
    FROM clipped c WHERE c.stop > c.start
    GROUP BY c.pipeline, c.stage ORDER BY c.pipeline, c.stage
$$;

-- funnel: of the deals that began in a pipeline between two moments, how many had come how far.
CREATE FUNCTION funnel(tenant text, of_pipeline text, since timestamptz, until timestamptz)
RETURNS TABLE (place integer, stage text, stage_label text, entered bigint, reached bigint)
LANGUAGE sql STABLE SET search_path FROM CURRENT SET enable_nestloop = off AS $$
    WITH stays AS (
        SELECT s.*, p.began FROM deal_stays(tenant) s JOIN deal_spans(tenant) p ON p.deal = s.deal
        WHERE (s.left_at IS NULL OR s.left_at > p.began)
            AND s.entered_at < until AND (p.ended IS NULL OR p.ended > s.entered_at)
    ),
    cohort AS (
        SELECT DISTINCT f.deal FROM stays f
        WHERE f.began >= since AND f.began < until AND f.pipeline = of_pipeline
            AND f.entered_at <= f.began
    ),
    stages AS (SELECT * FROM stages_of(tenant) WHERE pipeline = of_pipeline),
    come AS (
        SELECT s.deal, s.stage, n.place, n.is_closed AND NOT n.is_won AS is_lost
        FROM stays s JOIN cohort USING (deal) JOIN stages n ON n.stage = s.stage
        WHERE s.pipeline = of_pipeline
    )
    SELECT n.place, n.stage, n.stage_label,
        count(DISTINCT c.deal) FILTER (WHERE c.stage = n.stage),
        count(DISTINCT c.deal) FILTER (
            WHERE c.stage = n.stage OR (c.place > n.place AND NOT c.is_lost)
        )
    FROM stages n LEFT JOIN come c ON true
    GROUP BY n.place, n.stage, n.stage_label ORDER BY n.place
$$;

-- win_rate: the deals that closed between two moments and were still closed at the later one.
CREATE FUNCTION win_rate(tenant text, since timestamptz, until timestamptz)
RETURNS TABLE (
    pipeline text, won bigint, lost bigint, won_amount numeric, lost_amount numeric, rate numeric
)
LANGUAGE sql STABLE SET search_path FROM CURRENT SET enable_nestloop = off AS $$
    SELECT d.pipeline, count(*) FILTER (WHERE d.is_won), count(*) FILTER (WHERE NOT d.is_won),
        coalesce(sum(d.amount) FILTER (WHERE d.is_won), 0),
        coalesce(sum(d.amount) FILTER (WHERE NOT d.is_won), 0),
        round(count(*) FILTER (WHERE d.is_won)::numeric / count(*), 6)
    FROM deals_on(tenant, until) d
    WHERE d.is_closed AND d.entered_at > since
    GROUP BY d.pipeline ORDER BY d.pipeline
$$;

-- stalled: the open deals that had been in their stage for more than so many days.
CREATE FUNCTION stalled(tenant text, moment timestamptz, days numeric)
RETURNS TABLE (
    deal text, pipeline text, stage text, owner text, amount numeric, entered_at timestamptz,
    days_in_stage numeric
)
LANGUAGE sql STABLE SET search_path FROM CURRENT SET enable_nestloop = off AS $$
    SELECT d.deal, d.pipeline, d.stage, d.owner, d.amount, d.entered_at,
        round(extract(epoch FROM moment - d.entered_at) / 86400, 2)
    FROM deals_on(tenant, moment) d
    WHERE NOT d.is_closed AND extract(epoch FROM moment - d.entered_at) > days * 86400
    ORDER BY d.entered_at, d.deal
$$;

-- owner_board: each owner's open deals at a moment, and what they closed since an earlier one.
CREATE FUNCTION owner_board(tenant text, since timestamptz, until timestamptz)
RETURNS TABLE (
    owner text, open_deals bigint, open_amount numeric, won bigint, won_amount numeric, lost bigint
)
LANGUAGE sql STABLE SET search_path FROM CURRENT SET enable_nestloop = off AS $$
    SELECT d.owner, count(*) FILTER (WHERE NOT d.is_closed),
        coalesce(sum(d.amount) FILTER (WHERE NOT d.is_closed), 0),
        count(*) FILTER (WHERE d.is_won AND d.entered_at > since),
        coalesce(sum(d.amount) FILTER (WHERE d.is_won AND d.entered_at > since), 0),
        count(*) FILTER (WHERE d.is_closed AND NOT d.is_won AND d.entered_at > since)
    FROM deals_on(tenant, until) d
    GROUP BY d.owner ORDER BY d.owner
$$;

-- stage_faults: what does not add up in the stays; empty where all is well.
CREATE FUNCTION stage_faults(tenant text)
RETURNS TABLE (deal text, entered_at timestamptz, fault text)
LANGUAGE sql STABLE SET search_path FROM CURRENT SET enable_nestloop = off AS $$
    WITH stays AS (
        SELECT s.*, lead(s.entered_at) OVER (PARTITION BY s.record_id ORDER BY s.entered_at) AS next
        FROM deal_stages s WHERE s._tenant_id = tenant
    )
    SELECT s.record_id, s.entered_at, CASE
            WHEN s.left_at IS NULL THEN 'lasts although another stay follows'
            WHEN s.left_at > s.next THEN 'ends after the next stay begins'
            ELSE 'ends before the next stay begins' END
    FROM stays s WHERE s.next IS NOT NULL AND s.left_at IS DISTINCT FROM s.next
        AND NOT (coalesce(s.left_at < s.next, true) AND EXISTS (
            SELECT FROM deal_stages g WHERE g._tenant_id = tenant AND g.record_id = s.record_id
                AND g.entered_at = s.next AND g.gap_before))
    UNION ALL
    SELECT s.record_id, s.entered_at, 'lasts another time than from its beginning to its end'
    FROM stays s WHERE s.seconds IS DISTINCT FROM extract(epoch FROM s.left_at - s.entered_at)
    UNION ALL
    SELECT s.record_id, s.entered_at, d.value
    FROM stays s, jsonb_array_elements_text(to_jsonb(s.disagreements)) d
    WHERE jsonb_typeof(to_jsonb(s.disagreements)) = 'array'
    UNION ALL
    SELECT d.id, NULL, 'has no stay'
    FROM deals d
    WHERE d._tenant_id = tenant AND d.merged_into IS NULL AND d.removed_at IS NULL
        AND coalesce(to_jsonb(d) ->> 'dealstage', to_jsonb(d) -> 'properties' ->> 'dealstage') <> ''
        AND NOT EXISTS (SELECT FROM stays s WHERE s.record_id = d.id)
    UNION ALL
    SELECT s.record_id, s.entered_at, 'lasts, but the deal itself is in another stage'
    FROM stays s JOIN deals d ON d._tenant_id = tenant AND d.id = s.record_id
        AND d.merged_into IS NULL AND d.removed_at IS NULL
    WHERE s.next IS NULL AND s.stage <> coalesce(
        to_jsonb(d) ->> 'dealstage', to_jsonb(d) -> 'properties' ->> 'dealstage', s.stage)
    ORDER BY 1, 2
$$;
