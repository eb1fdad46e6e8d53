-- The collections of a catalogue, and those that a protocol names.

local Collections = {}

-- Published instructions spell the same collection with other capitals and spaces.
local function plain(name)
  local text = name:gsub('%s+', ' '):gsub('^ ', ''):gsub(' $', '')
  return text:lower()
end

local function walk(parent, sets, found)
  for _, collection in ipairs(parent:getChildCollections()) do
    local names = {}
    for i, set in ipairs(sets) do
      names[i] = set
    end
    names[#names + 1] = collection:getName()
    found[#found + 1] = {
      collection = collection,
      names = names,
      path = table.concat(names, '/'),
    }
  end
  for _, set in ipairs(parent:getChildCollectionSets()) do
    sets[#sets + 1] = set:getName()
    walk(set, sets, found)
    sets[#sets] = nil
  end
end

-- Every collection, in sets at any depth: the collection, the names from the outermost set to its
-- own, and these as a path.
function Collections.all(catalog)
  local found = {}
  walk(catalog, {}, found)
  return found
end

-- Those of them that `wanted` names: a collection, behind as many of its sets as matter.
function Collections.named(all, wanted)
  local parts = {}
  for part in wanted:gmatch('[^/]+') do
    parts[#parts + 1] = plain(part)
  end
  local found = {}
  for _, entry in ipairs(all) do
    local before = #entry.names - #parts
    local same = before >= 0
    for i, part in ipairs(parts) do
      same = same and plain(entry.names[before + i]) == part
    end
    if same then
      found[#found + 1] = entry
    end
  end
  return found
end

return Collections
