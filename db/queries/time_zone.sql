-- SPDX-License-Identifier: Apache-2.0
-- lane: migrate
-- kind: read
-- An error (22023) when the server knows no such time zone (tillway -t).
-- $1 text an IANA name
SELECT now() AT TIME ZONE $1::text
