-- SPDX-License-Identifier: Apache-2.0
-- lane: session
-- kind: read
-- First statement of every connection, or with db.prepare: false of every sync: how long a statement of
-- its lane may run and wait. A wide statement can pass the JIT's cost threshold, which costs more
-- than it brings. Where all statements look up by a key, no table is read as a whole, also when it was
-- nearly empty at the time of planning; and one plan serves for all times: for an array of one id PostgreSQL
-- would plan anew each time, which costs three times the look-up.
-- $1 text statement_timeout, such as '1000ms'
-- $2 text lock_timeout
-- $3 bool for this transaction only
-- $4 text enable_seqscan
-- $5 text plan_cache_mode
SELECT set_config('statement_timeout', $1::text, $3::bool),
       set_config('lock_timeout', $2::text, $3::bool),
       set_config('idle_in_transaction_session_timeout', $1::text, $3::bool),
       set_config('jit', 'off', $3::bool),
       set_config('enable_seqscan', $4::text, $3::bool),
       set_config('plan_cache_mode', $5::text, $3::bool)
