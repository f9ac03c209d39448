-- A spreadsheet takes a text that begins like a formula for one, full-width signs too; and where a
-- list's separator is a semicolon, or a line break inside quotes ends a row, what comes after those.
-- Numbers and phone numbers are left exact. Within a text, a sign alone is a formula only if what
-- follows could call something: dashes before the lines of a list stay.
create or replace function csv_text(value text) returns text language sql immutable parallel safe
    return case
        when value is null or value !~ E'[\t\r\n=+@＝＋＠－-]' then value
        else regexp_replace(
            case when value ~ E'^[\t\r\n]' or value ~ '^\s*[=@＝＠]'
                or (value ~ '^\s*[+＋－-]' and value !~ '^[+-]?[0-9\s().,/-]*[0-9][0-9\s().,/-]*$')
                then '''' || value else value end,
            E'([;\t\r\n]["\\s]*)'
            || E'([=@＝＠]|[+＋－-](?![0-9\\s().,/-]*(?:$|[;\t\r\n]))[^;\t\r\n]*[(|!])',
            '\1''\2', 'g') end;
