-- Exports jobs by Lightroom's own sessions.

local LrExportSession = import 'LrExportSession'
local LrFileUtils = import 'LrFileUtils'
local LrPathUtils = import 'LrPathUtils'
local LrProgressScope = import 'LrProgressScope'
local LrTasks = import 'LrTasks'

local Plan = require 'Plan'

local Run = {}

local GROUP = 100
-- So many in a row that fail have one cause, a full disk say.
local FAILURES = 20

local function fail(state, job, reason)
  state.result.failed[#state.result.failed + 1] = { job.name, reason }
  state.in_a_row = state.in_a_row + 1
  if state.in_a_row >= FAILURES then
    state.result.stopped = FAILURES .. ' pictures in a row failed, the last: ' .. reason
  end
end

-- A picture that Lightroom has rendered gets the name that counts only now: what lies in the
-- folders of input and target is whole, whatever happens to an export.
local function take(state, job, path, suffix)
  local kind = LrPathUtils.extension(path):lower()
  if kind ~= suffix then
    state.result.stopped = 'this Lightroom wrote .' .. kind .. ' where .' .. suffix
      .. ' was asked for. Export by hand with the settings of `hdrbench protocols`.'
    return
  end
  local moved, reason = LrFileUtils.move(path, job.file)
  if moved then
    state.result.exported = state.result.exported + 1
    state.in_a_row = 0
  else
    fail(state, job, 'not moved to ' .. job.file .. ': ' .. tostring(reason))
  end
end

local function group(state, jobs, settings, suffix, scope)
  local photos, job_of = {}, {}
  for i, job in ipairs(jobs) do
    photos[i] = job.photo
    job_of[job.photo.localIdentifier] = job
  end
  local session = LrExportSession { photosToExport = photos, exportSettings = settings }
  local rendering = { stopIfCanceled = true, progressScope = scope, renderProgressPortion = 1 }
  for _, rendition in session:renditions(rendering) do
    local job = job_of[rendition.photo.localIdentifier]
    scope:setCaption(job.name)
    local rendered, path = rendition:waitForRender()
    if state.scope:isCanceled() or scope:isCanceled() then
      state.result.canceled = true
      return
    end
    job_of[rendition.photo.localIdentifier] = nil
    if rendered and not rendition.wasSkipped then
      take(state, job, path, suffix)
    else
      fail(state, job, tostring(path or 'Lightroom skipped it'))
    end
    if state.result.stopped then
      return
    end
  end
  if state.scope:isCanceled() or scope:isCanceled() then
    state.result.canceled = true
    return
  end
  for _, job in ipairs(jobs) do
    if job_of[job.photo.localIdentifier] and not state.result.stopped then
      fail(state, job, 'Lightroom gave no picture')
    end
  end
end

-- plan: as Plan.make gives it. settings, suffixes: of the two sides. context: a function context.
-- Gives what Words.ending tells.
function Run.all(plan, settings, suffixes, title, context)
  local scope = LrProgressScope { title = title, functionContext = context }
  local result = { exported = 0, failed = {} }
  local state = { scope = scope, result = result, in_a_row = 0 }
  local done = 0
  for i, jobs in ipairs(plan.jobs) do
    for _, some in ipairs(Plan.groups(jobs, GROUP)) do
      done = done + #some
      local part = LrProgressScope {
        parent = scope,
        parentEndRange = done / plan.to_do,
        functionContext = context,
      }
      -- Lua's own pcall would not let a task wait inside it.
      local fine, fault = LrTasks.pcall(group, state, some, settings[i], suffixes[i], part)
      if not fine and not scope:isCanceled() then
        result.stopped = 'Lightroom: ' .. tostring(fault)
      end
      result.canceled = result.canceled or scope:isCanceled()
      if result.stopped or result.canceled then
        part:cancel()
        scope:cancel()
        return result
      end
      part:done()
    end
  end
  scope:done()
  return result
end

return Run
