-- What /metrics counts of each scan: a scrape reads no row of one that has ended.
create index scan_told on scan (status, runs);
