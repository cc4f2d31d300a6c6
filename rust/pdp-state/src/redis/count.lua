-- Runs a batch of groups, each whole or not at all: spends, settlements, resets, grants.
--
-- KEYS: for each group its replay key, where it has one, then the key of each record.
-- ARGV[1]: earliest time, replay window (ms), then the groups; see encode.rs for their layout.
-- Answers the time and one answer per group; see decode.rs.
--
-- Times are microseconds; all numbers are whole and below 2^53, so that doubles hold them exactly.
-- One file, though a long one: the server knows a script as one text.
-- Nothing is written before the end: where memory is short, the first write fails and nothing is done.
local call, up, pk, byte, sub, floor, ceil =
  redis.call, struct.unpack, struct.pack, string.byte, string.sub, math.floor, math.ceil
local keys, a = KEYS, ARGV[1]
local least, window, pos = up('<dd', a)
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
if now < least then now = least end

-- Milliseconds that a key outlives its counter. Where the time is a node's, it is late by the way here. And a
-- key that is used again soon is not removed and made anew each time: the server removes expired keys for
-- milliseconds on end, in which it answers nobody.
local spare = 10000

local stored = call('MGET', unpack(keys))
local ki = 0 -- the last key taken
local out, n = { pk('<d', now) }, 1

-- Counters as the batch leaves them: two values each, and what is to be written.
local P, Q = {}, {}
local order, m, expiry, kinds = {}, 0, {}, {}
local replays, gone, added = {}, {}, {}

local function weight(member)
  if #member == 16 then return 1 end
  return 2 ^ byte(member, 17)
end

-- First values of a counter: what is stored, or nothing spent.
local load = {}
load[0] = function(s)
  if s and #s == 16 then return up('<dd', s) end
  return 0, 0
end
load[1], load[3] = load[0], load[0]
load[2] = function(s)
  local c = { 0, 0, 0, 0, 0, 0, 0, 0, 0 }
  if s and #s == 80 then
    local p
    p, c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9] = up('<dddddddddd', s)
    return p, c
  elseif s and #s == 44 then
    local p
    p, c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9] = up('<dI4I4I4I4I4I4I4I4I4', s)
    return p, c
  end
  return 0, c
end
load[4] = function(_, k)
  local sum = -(tonumber(call('ZSCORE', k, 's') or 0))
  if sum > 0 and not gone[k] then
    local old = call('ZRANGEBYSCORE', k, 0, now, 'LIMIT', 0, 64)
    for i = 1, #old do sum = sum - weight(old[i]) end
    if #old > 0 then
      gone[k] = old
      if not expiry[k] then m = m + 1 order[m] = k expiry[k] = 0 kinds[k] = 4 end
    end
  end
  return sum, 0
end

-- A record: kind, flag, then numbers. Answers kind, flag and up to six numbers.
local layout = { [0] = '<dddd', '<ddd', '<ddd', '<dddddd', '<ddd' }
local function record()
  local kind, flag = byte(a, pos, pos + 1)
  local h, b, c, d, e, f
  if kind == 0 then
    h, b, c, d, pos = up('<dddd', a, pos + 2)
  elseif kind == 3 then
    h, b, c, d, e, f, pos = up('<dddddd', a, pos + 2)
  else
    h, b, c, pos = up('<ddd', a, pos + 2)
  end
  return kind, flag, h, b, c, d, e, f
end

local function counter(k, i, kind)
  local p = P[k]
  if p then return p, Q[k] end
  local q
  p, q = load[kind](stored[i], k)
  P[k], Q[k] = p, q
  return p, q
end

-- Each reads a counter and spends `h`: whether there is room, what is left, time until it is full,
-- time until there is room (-1: never), then the counter's new values and when it says nothing more.
local read = {}

-- Generic cell rate: h hits, b ticks drained per microsecond, c ticks per hit, d hits at once.
read[0] = function(p, q, h, b, c, d)
  local bucket, debt, cost = d * c, 0, h * c
  if p >= now then
    if q >= b then q = b - 1 end
    debt = (p - now) * b + q
    if debt > bucket then debt = bucket end
  end
  local free = bucket - debt
  if cost > free then
    return false, floor(free / c), ceil(debt / b), cost <= bucket and ceil((cost - free) / b) or -1
  end
  debt = debt + cost
  local whole = floor(debt / b)
  local rest = debt - whole * b
  return true, floor((free - cost) / c), rest > 0 and whole + 1 or whole, 0, now + whole, rest, now + whole + 1
end

-- A counter of a window from `from` to `to`: h hits of b.
local function windowed(p, q, h, b, from, to)
  if p > now and p - now <= to - from then to = p + to - from from = p end
  local used = p >= from and q or 0
  local left = b > used and b - used or 0
  if h > left then
    return false, left, used > 0 and to - now or 0, h <= b and to - now or -1
  end
  used = used + h
  return true, left - h, used > 0 and to - now or 0, 0, from, used, to
end

-- Fixed window of c.
read[1] = function(p, q, h, b, c)
  local from = now - now % c
  return windowed(p, q, h, b, from, from + c)
end

-- Calendar quota: c to d the period before, d to e this one, e to f the next. Nothing where none fits.
local function period(c, d, e, f)
  if now < c or now >= f then return nil end
  if now < d then return c, d end
  if now < e then return d, e end
  return e, f
end
read[3] = function(p, q, h, b, c, d, e, f)
  local from, to = period(c, d, e, f)
  if not from then return nil end
  return windowed(p, q, h, b, from, to)
end

-- Sliding window of eight slots of c; nine overlap the last window, and each counts whole.
-- The nine counts as they stand in slot `p`, oldest first.
local function slots(p, q, c)
  local slot = floor(now / c)
  local moved = slot - p
  if moved == 0 or (moved < 0 and moved >= -8) then return p, q end
  local counts = { 0, 0, 0, 0, 0, 0, 0, 0, 0 }
  if moved < 0 then
    for i = 1, 9 do counts[9] = counts[9] + q[i] end
  elseif moved < 9 then
    for i = 1, 9 - moved do counts[i] = q[i + moved] end
  end
  return slot, counts
end
-- Time until the hits of place i of nine leave.
local function leaves(p, i, c)
  return (p + i) * c - now
end
local function clears(p, q, c)
  for i = 9, 1, -1 do
    if q[i] > 0 then return leaves(p, i, c) end
  end
  return 0
end
read[2] = function(p, q, h, b, c)
  local at, counts = slots(p, q, c)
  local used = 0
  for i = 1, 9 do used = used + counts[i] end
  local left = b > used and b - used or 0
  if h > left then
    local retry = -1
    if h <= b then
      local over = used + h - b
      for i = 1, 9 do
        over = over - counts[i]
        if over <= 0 then retry = leaves(at, i, c) break end
      end
    end
    return false, left, clears(at, counts, c), retry
  end
  if h > 0 then
    counts = { unpack(counts) }
    counts[9] = counts[9] + h
  end
  return true, left - h, clears(at, counts, c), 0, at, counts, (at + 9) * c
end

-- Hits held at once: h of b, given back after c at the latest.
local function until_room(k, over)
  local held = call('ZRANGEBYSCORE', k, string.format('(%.0f', now), '+inf', 'WITHSCORES', 'LIMIT', 0, 64)
  for i = 1, #held, 2 do
    over = over - weight(held[i])
    if over <= 0 or i + 1 == #held then return tonumber(held[i + 1]) - now end
  end
  return 0
end
read[4] = function(p, _, h, b, c, k)
  local left = b > p and b - p or 0
  if h > left or h == 0 then
    local last = call('ZREVRANGE', k, 0, 0, 'WITHSCORES')
    local reset = last[2] and tonumber(last[2]) > now and tonumber(last[2]) - now or 0
    if p > 0 and reset == 0 then reset = c end
    local retry = 0
    if h > b then retry = -1 elseif h > left then retry = until_room(k, p + h - b) if retry <= 0 then retry = c end end
    return h <= left, left, reset, retry, p, 0, now + c
  end
  return true, left - h, c, 0, p + h, 0, now + c
end

local function keep(k, kind, p, q, till)
  if not expiry[k] then m = m + 1 order[m] = k end
  P[k], Q[k], expiry[k], kinds[k] = p, q, till, kind
end

local function hold(k, holder, h, till)
  local list = added[k]
  if not list then list = {} added[k] = list end
  list[#list + 1] = { holder, h, till }
end

local function answer(status)
  n = n + 1
  out[n] = status
end

-- Spends all records or none; the answer is kept under the replay key where it spent.
local function spend(count, replay, holder)
  local first, first_key = pos, ki
  local good, retries, tp, tq, tk, te, th = {}, {}, {}, {}, {}, {}, {}
  local lines, refused, _ = {}, false, nil
  for i = 1, count do
    local kind, peek, h, b, c, d, e, f = record()
    ki = ki + 1
    local k = keys[ki]
    local p, q = tp[k], tq[k]
    if not p then p, q = counter(k, ki, kind) end
    if kind == 4 then d = k end
    local ok, left, reset, retry, np, nq, till = read[kind](p, q, h, b, c, d, e, f)
    if ok == nil then
      ki, pos = first_key + count, first
      for _ = 1, count do record() end
      return answer('\3')
    end
    if peek == 1 then
      _, left, reset = read[kind](p, q, 0, b, c, d, e, f)
    end
    good[i], retries[i] = ok, retry
    lines[i] = pk('<Bddd', ok and 1 or 0, left, reset, retry)
    if peek == 1 then
      -- Read, never spent.
    elseif ok then
      tp[k], tq[k], tk[k], te[k] = np, nq, kind, till
      if kind == 4 then th[k] = (th[k] or 0) + h end
    else
      refused = true
    end
  end
  -- What was not spent is told as it stands.
  if refused and count > 1 then
    local last, last_key = pos, ki
    pos, ki = first, first_key
    for i = 1, count do
      local kind, _, _, b, c, d, e, f = record()
      ki = ki + 1
      local k = keys[ki]
      local p, q = counter(k, ki, kind)
      if kind == 4 then d = k end
      local _, left, reset = read[kind](p, q, 0, b, c, d, e, f)
      lines[i] = pk('<Bddd', good[i] and 1 or 0, left, reset, retries[i])
    end
    pos, ki = last, last_key
  end
  local text = table.concat(lines)
  if refused then
    answer('\0')
  else
    for k, p in pairs(tp) do
      keep(k, tk[k], p, tq[k], te[k])
      if th[k] and th[k] > 0 then hold(k, holder, th[k], te[k]) end
    end
    if replay then replays[replay] = holder .. text end
    answer('\1')
  end
  answer(text)
end

-- Spends one record that stands alone.
local function spend_one(replay, holder)
  local kind, peek, h, b, c, d, e, f = record()
  ki = ki + 1
  local k = keys[ki]
  local p, q = counter(k, ki, kind)
  local ok, left, reset, retry, np, nq, till = read[kind](p, q, h, b, c, d, e, f)
  if ok == nil then return answer('\3') end
  if not ok then return answer(pk('<BBddd', 0, 0, left, reset, retry)) end
  if h > 0 then keep(k, kind, np, nq, till) end
  local text = pk('<Bddd', 1, left, reset, retry)
  if replay then replays[replay] = holder .. text end
  answer('\1')
  answer(text)
end

-- What is seldom asked for: made only then, since making functions costs more than calling them.
local function seldom()
  -- Moves a counter by `by` hits that were spent at `at`: fewer only while their window lasts.
  -- `slack` is what `at` may be wrong by.
  local move = {}
  move[0] = function(p, q, by, at, slack, b, c, d)
    local debt = 0
    if p >= now then
      if q >= b then q = b - 1 end
      debt = (p - now) * b + q
    end
    if debt > d * c then debt = d * c end
    local change = by * c
    if change < 0 then
      -- What has drained since is not given back: it may have been other hits that drained.
      local since = now - at + slack
      if since < 0 then since = 0 end
      change = change + since * b
      if change > 0 then change = 0 end
    end
    debt = debt + change
    if debt < 0 then debt = 0 end
    if debt > d * c then debt = d * c end
    local whole = floor(debt / b)
    return now + whole, debt - whole * b, now + whole + 1
  end
  local function move_windowed(p, q, by, at, slack, from, to)
    if p > now and p - now <= to - from then to = p + to - from from = p end
    local used = p >= from and q or 0
    if by > 0 or at - slack >= from then used = used + by end
    if used < 0 then used = 0 end
    return from, used, to
  end
  move[1] = function(p, q, by, at, slack, _, c)
    local from = now - now % c
    return move_windowed(p, q, by, at, slack, from, from + c)
  end
  move[3] = function(p, q, by, at, slack, _, c, d, e, f)
    local from, to = period(c, d, e, f)
    if not from then return nil end
    return move_windowed(p, q, by, at, slack, from, to)
  end
  move[2] = function(p, q, by, at, slack, _, c)
    local slot, counts = slots(p, q, c)
    counts = { unpack(counts) }
    if by > 0 then
      counts[9] = counts[9] + by
    else
      -- The older slot first: what remains then counts longer, never shorter.
      for s = floor((at - slack) / c), floor(at / c) do
        local i = 9 - (slot - s)
        if i >= 1 and i <= 9 then
          local back = counts[i] < -by and counts[i] or -by
          counts[i], by = counts[i] - back, by + back
        end
      end
    end
    return slot, counts, (slot + 9) * c
  end

  local function release(k, holder)
    local list, freed = added[k] or {}, 0
    for i = #list, 1, -1 do
      if list[i][1] == holder then freed = freed + list[i][2] table.remove(list, i) end
    end
    local members = {}
    if call('ZSCORE', k, holder) then
      members[1] = holder
    elseif freed == 0 then
      local names = {}
      for bit = 0, 20 do names[bit + 1] = holder .. string.char(bit) end
      local scores = call('ZMSCORE', k, unpack(names))
      for i = 1, 21 do
        if scores[i] then members[#members + 1] = names[i] end
      end
    end
    local drop = gone[k] or {}
    for i = 1, #members do
      local known = false
      for j = 1, #drop do known = known or drop[j] == members[i] end
      if not known then
        freed = freed + weight(members[i])
        drop[#drop + 1] = members[i]
      end
    end
    gone[k] = drop
    return freed
  end

  -- Corrects counters; each record is followed by the hits to move by and when they were spent.
  local function settle(count, replay, holder, slack)
    local first, first_key = pos, ki
    for _ = 1, count do
      local kind, _, _, _, c, _, _, f = record()
      pos = pos + 16
      if kind == 3 and (now < c or now >= f) then
        pos, ki = first, first_key + count
        for _ = 1, count do record() pos = pos + 16 end
        return answer('\3')
      end
    end
    pos = first
    answer('\1')
    local lines = {}
    for i = 1, count do
      local kind, _, _, b, c, d, e, f = record()
      local by, at
      by, at, pos = up('<dd', a, pos)
      ki = ki + 1
      local k = keys[ki]
      local p, q = counter(k, ki, kind)
      if kind == 4 then
        local freed = release(k, holder)
        if freed > 0 or gone[k] and #gone[k] > 0 then keep(k, 4, p - freed, 0, now + c) end
        p = p - freed
      elseif by ~= 0 then
        local np, nq, till
        np, nq, till = move[kind](p, q, by, at, slack, b, c, d, e, f)
        keep(k, kind, np, nq, till)
        p, q = np, nq
      end
      if kind == 4 then d = k end
      local _, left, reset = read[kind](p, q, 0, b, c, d, e, f)
      lines[i] = pk('<Bddd', 1, left, reset, 0)
    end
    local text = table.concat(lines)
    if replay then replays[replay] = holder .. text end
    answer(text)
  end

  -- Takes from `least` to `h` hits, as many as there is room for.
  local function grant()
    local fewest
    fewest, pos = up('<d', a, pos)
    local kind, _, h, b, c, d, e, f = record()
    ki = ki + 1
    local k = keys[ki]
    local p, q = counter(k, ki, kind)
    local ok, left, reset = read[kind](p, q, 0, b, c, d, e, f)
    if ok == nil then return answer('\3') end
    local take = left < h and left or h
    local line
    if take < fewest or take == 0 then
      local _, _, _, retry = read[kind](p, q, fewest, b, c, d, e, f)
      line = pk('<Bddd', 0, left, reset, retry)
      take = 0
    else
      local _, after, until_full, _, np, nq, till = read[kind](p, q, take, b, c, d, e, f)
      keep(k, kind, np, nq, till)
      line = pk('<Bddd', 1, after, until_full, 0)
    end
    answer('\1')
    answer(line)
    answer(pk('<d', take))
  end

  local function reset()
    ki = ki + 1
    local k = keys[ki]
    local there = expiry[k] ~= nil and expiry[k] > 0
    P[k], Q[k], added[k], gone[k] = nil, nil, nil, nil
    stored[ki] = false
    for i = 1, #keys do
      if keys[i] == k then stored[i] = false end
    end
    if expiry[k] then
      for i = 1, m do
        if order[i] == k then table.remove(order, i) m = m - 1 break end
      end
      expiry[k] = nil
    end
    there = call('DEL', k) == 1 or there
    answer(there and '\1' or '\0')
  end

  return settle, grant, reset
end

local settle, grant, reset
while pos <= #a do
  local op, flags, count
  op, flags, count, pos = up('<BBH', a, pos)
  local replay, told, holder
  if flags % 2 == 1 then
    ki = ki + 1
    replay = keys[ki]
    told = replays[replay] or stored[ki]
  end
  if flags >= 2 then
    holder = sub(a, pos, pos + 15)
    pos = pos + 16
  end
  if op == 0 then
    if told then
      for _ = 1, count do record() end
      ki = ki + count
      answer('\2')
      answer(told)
    elseif count == 1 and byte(a, pos) ~= 4 and byte(a, pos + 1) == 0 then
      spend_one(replay, holder)
    else
      spend(count, replay, holder)
    end
  elseif op == 1 then
    if not settle then settle, grant, reset = seldom() end
    local slack
    slack, pos = up('<d', a, pos)
    if told then
      for _ = 1, count do record() pos = pos + 16 end
      ki = ki + count
      answer('\2')
      answer(told)
    else
      settle(count, replay, holder, slack)
    end
  elseif op == 2 then
    if not settle then settle, grant, reset = seldom() end
    reset()
  elseif op == 3 then
    if not settle then settle, grant, reset = seldom() end
    grant()
  else
    if not settle then settle, grant, reset = seldom() end
    -- Undoes a spend on one part of the Cluster after another refused: forgets its replay.
    if replay then
      replays[replay] = nil
      call('DEL', replay)
      for i = 1, #keys do
        if keys[i] == replay then stored[i] = false end
      end
    end
    local slack
    slack, pos = up('<d', a, pos)
    settle(count, nil, holder, slack)
  end
end

local function write_held(k)
  local sum, list = P[k], added[k] or {}
  if sum <= 0 then return call('DEL', k) end
  call('ZADD', k, -sum, 's')
  if gone[k] and #gone[k] > 0 then call('ZREM', k, unpack(gone[k])) end
  for i = 1, #list do
    local holder, h, till = list[i][1], list[i][2], list[i][3]
    if h == 1 and call('ZADD', k, 'NX', till, holder) == 0 then
      call('ZREM', k, holder)
      h = 2
    elseif h == 1 then
      h = 0
    end
    local bit = 0
    while h > 0 do
      if h % 2 == 1 then
        local member = holder .. string.char(bit)
        if call('ZADD', k, 'NX', till, member) == 1 then
          h = h - 1
        else
          call('ZREM', k, member)
          h = h + 1
        end
      end
      h, bit = h / 2, bit + 1
    end
    call('PEXPIRE', k, ceil((till - now) / 1000) + spare)
  end
end

for i = 1, m do
  local k = order[i]
  local kind, p, q = kinds[k], P[k], Q[k]
  if kind == 4 then
    write_held(k)
  else
    local text
    if kind == 2 then
      local big = false
      for j = 1, 9 do big = big or q[j] > 4294967295 end
      text = pk(big and '<dddddddddd' or '<dI4I4I4I4I4I4I4I4I4', p, unpack(q))
    else
      text = pk('<dd', p, q)
    end
    call('SET', k, text, 'PX', ceil((expiry[k] - now) / 1000) + spare)
  end
end
for k, text in pairs(replays) do
  call('SET', k, text, 'PX', window)
end
return table.concat(out)
