-- SPDX-License-Identifier: Apache-2.0
-- A sale whose sums the till worked out otherwise than they are recorded (0018).
ALTER TABLE transactions ADD COLUMN amount_exception bool NOT NULL DEFAULT false;
