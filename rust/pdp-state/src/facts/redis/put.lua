-- Stores documents of one tenant, all or none.
-- KEYS: each document's hash. ARGV: the channel of changes; then for each key its version ('' is one above
-- the stored one), document, source, when it was observed in microseconds, time to live in ms ('' is for ever).
-- Answers {'ok', version...} or {'old', position from 0, version given, version stored}.
local answer = {'ok'}
for i, key in ipairs(KEYS) do
  local given = ARGV[i * 5 - 3]
  local stored = tonumber(redis.call('HGET', key, 'v') or '0')
  local version = given == '' and stored + 1 or tonumber(given)
  if version <= stored or version > 9007199254740991 then
    return {'old', tostring(i - 1), string.format('%.0f', version), string.format('%.0f', stored)}
  end
  answer[i + 1] = string.format('%.0f', version)
end
for i, key in ipairs(KEYS) do
  local at = i * 5 - 3
  local version, document, source, observed, ttl = answer[i + 1], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  -- The first write of all: a server without memory refuses this one, and then nothing is written.
  redis.call('HSET', key, 'v', version, 'd', document, 's', source, 'o', observed)
  redis.call('HDEL', key, 'x')
  if ttl ~= '' then
    redis.call('PEXPIRE', key, ttl)
  else
    redis.call('PERSIST', key)
  end
  redis.call('PUBLISH', ARGV[1], cjson.encode({v = version, s = source, o = observed}) .. '\n' .. document)
end
return answer
