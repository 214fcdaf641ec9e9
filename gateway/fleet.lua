-- SPDX-License-Identifier: Apache-2.0
-- The fleet's side of the limits (docs/adr/006-limits-of-a-fleet.md). Each key holds one time: when
-- it would be at rest, in microseconds of Redis' own clock. For each of KEYS, three of ARGV, in
-- microseconds of the rule:
--   what was used since the last exchange; all of it counts, also above the burst
--   what the node itself says is owed, should Redis not have heard of it; else 0
--   what may be owed at most
-- Answers what each owes now. A key lives as long as it owes.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local debts = {}
for i, key in ipairs(KEYS) do
    local used, own, most = tonumber(ARGV[i * 3 - 2]), tonumber(ARGV[i * 3 - 1]), tonumber(ARGV[i * 3])
    local at = tonumber(redis.call('GET', key) or '') or now
    local debt = math.min(math.max(math.max(at, now) - now + used, own), most)
    redis.call('SET', key, string.format('%.0f', now + debt), 'PX', math.floor(debt / 1000) + 1)
    debts[i] = debt
end
return debts
