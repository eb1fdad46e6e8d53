-- Library > Plug-in Extras > Export FiveK for hdrbench: asks what to export, and exports it.

local LrApplication = import 'LrApplication'
local LrBinding = import 'LrBinding'
local LrDialogs = import 'LrDialogs'
local LrFileUtils = import 'LrFileUtils'
local LrFunctionContext = import 'LrFunctionContext'
local LrPathUtils = import 'LrPathUtils'
local LrView = import 'LrView'

local Collections = require 'Collections'
local Plan = require 'Plan'
local Presets = require 'Presets'
local Run = require 'Run'
local Settings = require 'Settings'
local Words = require 'Words'

local TITLE = 'Export FiveK for hdrbench'
local SAMPLE = 20

-- The preset, and how many pairs; nil where the dialog was cancelled.
local function ask(context)
  local chosen = LrBinding.makePropertyTable(context)
  chosen.preset, chosen.sample, chosen.count = 1, true, SAMPLE
  local items = {}
  for i, preset in ipairs(Presets) do
    local words = Settings.words(preset, preset.target)
    items[i] = { title = preset.protocol .. ' ' .. preset.size .. ': ' .. words, value = i }
  end
  local f = LrView.osFactory()
  local contents = f:column {
    bind_to_object = chosen,
    spacing = f:control_spacing(),
    f:static_text { title = 'Protocol, size, and what the targets are exported as:' },
    f:popup_menu { items = items, value = LrView.bind 'preset' },
    f:row {
      f:checkbox { title = 'A sample first: pairs', value = LrView.bind 'sample' },
      f:edit_field {
        value = LrView.bind 'count',
        enabled = LrView.bind 'sample',
        min = 1,
        max = 5000,
        precision = 0,
        width_in_digits = 5,
      },
    },
    f:static_text { title = 'What is there already is kept: a sample is part of the whole.' },
  }
  local button = LrDialogs.presentModalDialog {
    title = TITLE,
    contents = contents,
    actionVerb = 'Choose Folder',
  }
  if button ~= 'ok' then
    return nil
  end
  local preset = Presets[chosen.preset]
  if not chosen.sample then
    return preset, nil
  end
  local count = tonumber(chosen.count)
  if not count or count < 1 or count % 1 ~= 0 then
    LrDialogs.message(TITLE, 'A sample has a whole number of pairs, 1 or more.', 'warning')
    return nil
  end
  return preset, count
end

-- The two collections of a preset; nil, when the user has been told, where they cannot be told.
local function find(catalog, preset)
  local all = Collections.all(catalog)
  local sides, missing = {}, {}
  for i, side in ipairs({ preset.input, preset.target }) do
    local found = Collections.named(all, side.collection)
    if #found == 0 then
      missing[#missing + 1] = side.collection
    elseif #found > 1 then
      LrDialogs.message(TITLE, Words.several(side.collection, found), 'warning')
      return nil
    end
    sides[i] = found[1]
  end
  if #missing > 0 then
    LrDialogs.message(TITLE, Words.missing(missing, all), 'warning')
    return nil
  end
  return sides
end

local function ask_folder()
  local paths = LrDialogs.runOpenPanel {
    title = 'Where the exported pictures go',
    prompt = 'Export Here',
    canChooseFiles = false,
    canChooseDirectories = true,
    canCreateDirectories = true,
    allowsMultipleSelection = false,
  }
  return paths and paths[1]
end

local function photos_of(catalog, collection)
  local photos = collection:getPhotos()
  local paths = catalog:batchGetRawMetadata(photos, { 'path' })
  local entries = {}
  for i, photo in ipairs(photos) do
    entries[i] = { photo = photo, path = paths[photo].path }
  end
  return entries
end

-- Whether a folder is there now.
local function made(folder)
  LrFileUtils.createAllDirectories(folder)
  return LrFileUtils.exists(folder) == 'directory'
end

-- The report beside the pictures, where one can be written: a dialog's text cannot be kept.
local function write(path, text)
  local file = io.open(path, 'w')
  if not file then
    return ''
  end
  file:write(text)
  file:close()
  return '\n\nAll of this is in ' .. path
end

local function export(context)
  LrDialogs.attachErrorDialogToFunctionContext(context)
  local catalog = LrApplication.activeCatalog()
  local preset, count = ask(context)
  if not preset then
    return
  end
  local found = find(catalog, preset)
  local chosen = found and ask_folder()
  if not chosen then
    return
  end
  local folder = LrPathUtils.child(chosen, preset.protocol .. '-' .. preset.size)
  -- Lightroom renders into folders of their own, which `hdrbench` does not look into.
  local rendering = LrPathUtils.child(folder, 'unfinished')
  local sides, folders, places, settings, suffixes = {}, {}, {}, {}, {}
  for i, name in ipairs({ 'input', 'target' }) do
    local side = preset[name]
    folders[i] = LrPathUtils.child(folder, name)
    places[i] = LrPathUtils.child(rendering, name)
    settings[i] = Settings.of(preset, side, places[i])
    suffixes[i] = Settings.suffix(side)
    sides[i] = {
      role = name,
      collection = found[i].path,
      photos = photos_of(catalog, found[i].collection),
      folder = folders[i],
      suffix = suffixes[i],
    }
  end
  local files = { exists = LrFileUtils.exists, child = LrPathUtils.child }
  local plan = Plan.make(sides, files, count)
  if plan.chosen == 0 then
    LrDialogs.message(TITLE, Words.nothing(plan), 'warning')
    return
  end
  local names = { found[1].path, found[2].path }
  local words = { Settings.words(preset, preset.input), Settings.words(preset, preset.target) }
  local text = Words.plan(plan, names, words, folder)
  if LrDialogs.confirm(TITLE, text, 'Export', 'Cancel') ~= 'ok' then
    return
  end
  for _, needed in ipairs({ folders[1], folders[2], places[1], places[2] }) do
    if not made(needed) then
      LrDialogs.message(TITLE, 'This folder cannot be made: ' .. needed, 'warning')
      return
    end
  end
  local title = 'FiveK, ' .. preset.protocol .. ' ' .. preset.size
  local result = Run.all(plan, settings, suffixes, title, context)
  for _, place in ipairs({ places[1], places[2], rendering }) do
    if LrFileUtils.isEmptyDirectory(place) then
      LrFileUtils.delete(place)
    end
  end
  local commands = Words.commands(preset, folders, WIN_ENV)
  local by_side = { input = settings[1], target = settings[2] }
  local heading = title .. ', Lightroom ' .. LrApplication.versionString()
  local report = Words.report(heading, plan, result, commands, by_side)
  local where = write(LrPathUtils.child(folder, 'export.txt'), report)
  local style = (result.stopped or #result.failed > 0) and 'warning' or 'info'
  LrDialogs.message(TITLE, Words.summary(plan, result) .. '\n\n' .. commands .. where, style)
end

LrFunctionContext.postAsyncTaskWithContext(TITLE, export)
