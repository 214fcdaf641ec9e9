-- SPDX-License-Identifier: Apache-2.0
-- lane: session
-- kind: read
-- Whether this session hears of changes: its server is no standby, and the backend that runs this is
-- the one that the client was told of (behind a connection pooler it is another one).
SELECT pg_is_in_recovery(), pg_backend_pid()
