-- Which pictures of two collections are to be exported, and under which names.

local Plan = {}

-- The file's name without folder and suffix, and FiveK's id, which it begins with; nil where it is
-- no picture of FiveK.
function Plan.name(path)
  local stem = path:match('[^/\\]*$'):gsub('%.[^.]*$', '')
  return stem, (stem .. '.'):match('^(a%d%d%d%d)%D')
end

-- photos: of a collection, each with `photo` and the `path` of its original. leave(name, reason) is
-- told what is left out.
local function by_id(photos, collection, exists, leave)
  local found, several = {}, {}
  for _, entry in ipairs(photos) do
    local stem, id = Plan.name(entry.path)
    if not id then
      leave(stem, 'in ' .. collection .. ', but no picture of FiveK')
    elseif found[id] then
      several[#several + 1] = id
    else
      found[id] = { id = id, stem = stem, photo = entry.photo, path = entry.path }
    end
  end
  for _, id in ipairs(several) do
    leave(id, 'several times in ' .. collection)
    found[id] = nil
  end
  local missing = {}
  for id, entry in pairs(found) do
    if not exists(entry.path) then
      missing[#missing + 1] = id
    end
  end
  for _, id in ipairs(missing) do
    leave(id, 'its original is not there: ' .. found[id].path)
    found[id] = nil
  end
  return found, #missing
end

-- What is to be done.
--
-- sides: two of { role, collection, photos, folder, suffix }, the input's and the target's.
-- files: `exists`, whether there is something of a path, and `child`, the path of a folder's file.
-- limit: only so many pairs, the first by id.
--
-- Gives for each side its jobs { name, photo, file }, of files that are not there yet, how many are
-- there already, how many pairs there are in all, how many originals are missing, and what is left
-- out: { name, reason } each.
function Plan.make(sides, files, limit)
  local left_out, said, found, missing = {}, {}, {}, {}
  local function leave(name, reason)
    said[name] = said[name] or {}
    if not said[name][reason] then
      said[name][reason] = true
      left_out[#left_out + 1] = { name, reason }
    end
  end
  for i, side in ipairs(sides) do
    found[i], missing[i] = by_id(side.photos, side.collection, files.exists, leave)
  end
  local ids = {}
  for i = 1, 2 do
    for id in pairs(found[i]) do
      if found[3 - i][id] then
        if i == 1 then
          ids[#ids + 1] = id
        end
      elseif not said[id] then
        leave(id, 'not in ' .. sides[3 - i].collection)
      end
    end
  end
  table.sort(ids)
  table.sort(left_out, function(a, b)
    if a[1] ~= b[1] then
      return a[1] < b[1]
    end
    return a[2] < b[2]
  end)
  local plan = { pairs = #ids, jobs = {}, there = 0, to_do = 0, left_out = left_out }
  plan.missing = missing[1] + missing[2]
  plan.chosen = math.min(limit or #ids, #ids)
  for i, side in ipairs(sides) do
    local jobs = {}
    for n = 1, plan.chosen do
      local entry = found[i][ids[n]]
      local file = files.child(side.folder, entry.stem .. '.' .. side.suffix)
      if files.exists(file) then
        plan.there = plan.there + 1
      else
        local name = entry.id .. ' (' .. side.role .. ')'
        jobs[#jobs + 1] = { name = name, photo = entry.photo, file = file }
      end
    end
    plan.jobs[i] = jobs
    plan.to_do = plan.to_do + #jobs
  end
  return plan
end

-- Jobs in groups: one session of Lightroom's each, so that little is lost where one fails.
function Plan.groups(jobs, most)
  local groups = {}
  for i, job in ipairs(jobs) do
    if (i - 1) % most == 0 then
      groups[#groups + 1] = {}
    end
    table.insert(groups[#groups], job)
  end
  return groups
end

return Plan
