-- Deletes documents of one tenant; their versions stay for a while, so that no older one comes back.
-- KEYS: each document's hash. ARGV: the channel of changes; for how many ms versions stay; then each key's name.
-- Answers how many documents there were.
local deleted = 0
for i, key in ipairs(KEYS) do
  local found = redis.call('HMGET', key, 'v', 'x')
  if found[1] and not found[2] then
    redis.call('DEL', key)
    redis.call('HSET', key, 'v', found[1], 'x', '1')
    redis.call('PEXPIRE', key, ARGV[2])
    redis.call('PUBLISH', ARGV[1], cjson.encode({v = found[1]}) .. '\n' .. ARGV[i + 2])
    deleted = deleted + 1
  end
end
return deleted
