-- SPDX-License-Identifier: Apache-2.0
-- lane: migrate
-- kind: write
-- Waits for another `tillway migrate` on the same database; held until the session ends. The number
-- is ours and means nothing else.
SELECT pg_advisory_lock(7716700120261120)
