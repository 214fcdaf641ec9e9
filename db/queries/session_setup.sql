-- SPDX-License-Identifier: Apache-2.0
-- lane: session
-- kind: read
-- First statement of every connection: how long a statement of its lane may run and wait. A wide statement
-- can pass the JIT's cost threshold, which costs more than it brings.
-- $1 text statement_timeout, such as '1000ms'
-- $2 text lock_timeout
SELECT set_config('statement_timeout', $1::text, false),
       set_config('lock_timeout', $2::text, false),
       set_config('idle_in_transaction_session_timeout', $1::text, false),
       set_config('jit', 'off', false)
