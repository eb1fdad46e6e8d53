-- What the plug-in says.

local Words = {}

local SHOWN = 10

-- "name: reason" of the first few of a list, and how many more there are.
local function some(entries)
  local lines = {}
  for i, entry in ipairs(entries) do
    if i > SHOWN then
      lines[#lines + 1] = '... and ' .. (#entries - SHOWN) .. ' more'
      break
    end
    lines[#lines + 1] = entry[1] .. ': ' .. entry[2]
  end
  return table.concat(lines, '\n')
end

local CATALOGUE = 'Open fivek.lrcat, which lies in raw_photos of the extracted fivek_dataset.tar '
  .. '(File > Open Catalog), and start again.'

-- Of a catalogue that lacks collections. all: as Collections.all gives them.
function Words.missing(wanted, all)
  local lines = { 'Not in this catalogue: ' .. table.concat(wanted, ', ') .. '.', CATALOGUE }
  local paths = {}
  for i, entry in ipairs(all) do
    if i > SHOWN then
      paths[#paths + 1] = '...'
      break
    end
    paths[#paths + 1] = entry.path
  end
  if #paths > 0 then
    lines[#lines + 1] = 'Its collections: ' .. table.concat(paths, ', ')
  else
    lines[#lines + 1] = 'It has no collection.'
  end
  return table.concat(lines, '\n\n')
end

function Words.several(wanted, found)
  local paths = {}
  for i, entry in ipairs(found) do
    paths[i] = entry.path
  end
  return #found .. ' collections of this catalogue are called ' .. wanted .. ': '
    .. table.concat(paths, ', ') .. '.\n\nRename all but the one that is meant, and start again.'
end

-- What an export would do, before it begins. names: of the two collections, as found.
function Words.plan(plan, names, words, folder)
  local lines = {
    'Input: ' .. names[1] .. ' as ' .. words[1],
    'Target: ' .. names[2] .. ' as ' .. words[2],
    'Into: ' .. folder,
    plan.chosen .. ' of ' .. plan.pairs .. ' pairs: ' .. plan.to_do .. ' files to export, '
      .. plan.there .. ' there already',
  }
  if #plan.left_out > 0 then
    lines[#lines + 1] = 'Left out: ' .. #plan.left_out .. '\n' .. some(plan.left_out)
  end
  return table.concat(lines, '\n')
end

-- No pair is whole.
function Words.nothing(plan)
  if #plan.left_out == 0 then
    return 'No pair can be exported: the collections are empty.'
  end
  local lines = {
    'No pair can be exported.',
    'Left out: ' .. #plan.left_out .. '\n' .. some(plan.left_out),
  }
  if plan.missing > 0 then
    lines[#lines + 1] = 'Originals are not where the catalogue looks for them: '
      .. 'Library > Find Missing Photos tells it where they are.'
  end
  return table.concat(lines, '\n\n')
end

local function quoted(path, windows)
  if windows then
    return '"' .. path .. '"'
  end
  return "'" .. path:gsub("'", "'\\''") .. "'"
end

-- The commands that take what was exported. folders: of input and target. windows: whose shell.
function Words.commands(preset, folders, windows)
  local rest = ' --size ' .. preset.size .. ' --input-dir ' .. quoted(folders[1], windows)
    .. ' --target-dir ' .. quoted(folders[2], windows)
  local prepare = 'hdrbench prepare fivek --protocol ' .. preset.protocol .. rest
  if preset.xyz then
    return 'The inputs are 16-bit ProPhoto; ' .. preset.protocol .. ' has CIE XYZ made of them, '
      .. 'as PNG, which neither Lightroom nor hdrbench does. With the PNGs in --input-dir:\n'
      .. prepare
  end
  return 'Is it as the protocol states it?\nhdrbench verify-export ' .. preset.protocol .. rest
    .. '\nIt checks names, kinds, sizes, depths and profiles. Whether these are the published '
    .. 'pictures it can say only with fingerprints of those: where none are known, it says so and '
    .. 'ends with exit code 3, which is no fault of the export.'
    .. '\nWhen all is exported:\n' .. prepare
end

-- How it ended: result has `exported` and `failed`, { name, reason } each, and `canceled` or
-- `stopped`, the reason, where it did not come to its end.
function Words.ending(plan, result)
  local lines = {}
  if result.stopped then
    lines[1] = 'Stopped: ' .. result.stopped
  elseif result.canceled then
    lines[1] = 'Cancelled. Start again with the same folder to go on.'
  end
  lines[#lines + 1] = result.exported .. ' files exported, ' .. plan.there
    .. ' were there already, ' .. #result.failed .. ' failed'
  local open = plan.to_do - result.exported - #result.failed
  if open > 0 then
    lines[#lines + 1] = open .. ' not yet exported'
  end
  if plan.chosen < plan.pairs then
    lines[#lines + 1] = 'A sample: ' .. plan.chosen .. ' of ' .. plan.pairs .. ' pairs'
  end
  return table.concat(lines, '\n')
end

function Words.summary(plan, result)
  local text = Words.ending(plan, result)
  if #result.failed > 0 then
    text = text .. '\n\nFailed:\n' .. some(result.failed)
  end
  if #plan.left_out > 0 then
    text = text .. '\n\nLeft out: ' .. #plan.left_out .. '\n' .. some(plan.left_out)
  end
  return text
end

-- The same whole, for a file beside the pictures. settings: what both sides were exported by.
function Words.report(heading, plan, result, commands, settings)
  local lines = { heading, Words.ending(plan, result) }
  for _, entries in ipairs({ result.failed, plan.left_out }) do
    for _, entry in ipairs(entries) do
      lines[#lines + 1] = entry[1] .. ': ' .. entry[2]
    end
  end
  lines[#lines + 1] = '\n' .. commands .. '\n'
  for _, side in ipairs({ 'input', 'target' }) do
    local keys = {}
    for key in pairs(settings[side]) do
      keys[#keys + 1] = key
    end
    table.sort(keys)
    for _, key in ipairs(keys) do
      lines[#lines + 1] = side .. ' ' .. key .. ' = ' .. tostring(settings[side][key])
    end
  end
  return table.concat(lines, '\n') .. '\n'
end

return Words
