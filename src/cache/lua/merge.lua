#!lua flags=allow-oom
-- Brings one server's mark up to what is known of it elsewhere. The order is total (a greater number wins; of equal ones,
-- clean wins), and only the greater mark is kept, so this may run late, twice and in any order.
--
-- KEYS[1] epoch      proj:<p>:cache:epoch  string, `clean:<n>` or `dirty:<n>`
-- KEYS[2] fresh      proj:<p>:cache:fresh  HASH, of no use once the mark is clean
-- ARGV[1] not_after  ms, Redis time
-- ARGV[2] mark       what is known elsewhere
-- ARGV[3] create     1: write it also where there is no mark
-- Returns the mark that stands now, '' for none; LATE, WRONGTYPE.
-- Cost: O(1), 6 commands.
-- @include "prelude"
if late(redis_us() / 1000) then return LATE end
if not is_type(KEYS[1], 'string') or not is_type(KEYS[2], 'hash') then return WRONGTYPE end

local function parse(mark)
  local state, number = string.match(mark, '^(%l+):(%d+)$')
  return tonumber(number) or -1, state == 'clean'
end

local stored = redis.call('GET', KEYS[1]) or ''
if stored == '' and ARGV[3] ~= '1' then return '' end
local last, was_clean = parse(stored)
local number, is_clean = parse(ARGV[2])
if number < last or (number == last and (was_clean or not is_clean)) then return stored end

redis.call('SET', KEYS[1], ARGV[2], 'EX', is_clean and 86400 or 34560000)
if is_clean then redis.call('UNLINK', KEYS[2]) end
return ARGV[2]
