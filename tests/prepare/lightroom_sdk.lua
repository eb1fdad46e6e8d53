-- A stand-in for the parts of Lightroom Classic's SDK that the plug-in uses. It raises on whatever
-- it does not know: namespaces, functions, parameters, export settings and their types. A task that
-- waits (photos, rendering) yields, as Lightroom's does, so that only LrTasks.pcall may be around it.
--
-- host: what the test decides and records, in Python. Returns a function that runs a file of the
-- plug-in, and one that runs the tasks which it began.

local host, tree = ...

local function set(...)
  local members = {}
  for _, value in ipairs({ ... }) do
    members[value] = true
  end
  return members
end

-- Name of a setting -> its type, or the values it may have.
local SETTINGS = {
  LR_exportServiceProvider = set('com.adobe.ag.export.file'),
  LR_export_destinationType = set('specificFolder'),
  LR_export_destinationPathPrefix = 'string',
  LR_export_useSubfolder = 'boolean',
  LR_collisionHandling = set('ask', 'rename', 'overwrite', 'skip'),
  LR_export_postProcessing = set('doNothing'),
  LR_reimportExportedPhoto = 'boolean',
  LR_renamingTokensOn = 'boolean',
  LR_extensionCase = set('lowercase', 'uppercase'),
  LR_format = set('JPEG', 'PNG', 'TIFF', 'PSD', 'DNG', 'ORIGINAL'),
  LR_jpeg_quality = 'number',
  LR_jpeg_useLimitSize = 'boolean',
  LR_export_colorSpace = set('sRGB', 'AdobeRGB', 'ProPhotoRGB'),
  LR_export_colorSpaceNonJPEG = set('sRGB', 'AdobeRGB', 'ProPhotoRGB'),
  LR_export_bitDepth = set(8, 16),
  LR_export_bitDepthOthers = set(8, 16),
  LR_tiff_compressionMethod = set('compressionMethod_None', 'compressionMethod_LZW',
    'compressionMethod_ZIP'),
  LR_tiff_preserveTransparency = 'boolean',
  LR_enableHDRDisplay = 'boolean',
  LR_size_doConstrain = 'boolean',
  LR_size_doNotEnlarge = 'boolean',
  LR_size_resizeType = set('wh', 'dimensions', 'longEdge', 'shortEdge', 'megapixels'),
  LR_size_maxHeight = 'number',
  LR_size_maxWidth = 'number',
  LR_size_units = set('inch', 'cm', 'pixels'),
  LR_outputSharpeningOn = 'boolean',
  LR_useWatermark = 'boolean',
  LR_embeddedMetadataOption = set('copyrightOnly', 'copyrightAndContactOnly', 'allExceptCameraInfo',
    'all'),
  LR_minimizeEmbeddedMetadata = 'boolean',
  LR_removeLocationMetadata = 'boolean',
  LR_removeFaceMetadata = 'boolean',
  LR_includeVideoFiles = 'boolean',
}

local function check(values, known, what)
  for name, value in pairs(values) do
    local wanted = known[name]
    if wanted == nil then
      error(what .. ': unknown ' .. tostring(name))
    end
    local right = type(wanted) == 'table' and wanted[value] or type(value) == wanted
      or wanted == 'any'
    if not right then
      error(what .. ': ' .. name .. ' cannot be ' .. tostring(value))
    end
  end
end

-- A namespace or an object that raises for what it has not.
local function known(name, content)
  return setmetatable(content, {
    __index = function(_, key)
      error(name .. ' has no ' .. tostring(key))
    end,
  })
end

local function wait()
  if not coroutine.running() then
    error('called outside a task')
  end
  coroutine.yield()
end

local photos_by_id = {}

local function collection_of(entry)
  local photos = {}
  for i, photo in ipairs(entry.photos) do
    local id = #photos_by_id + 1
    photos[i] = known('LrPhoto', { localIdentifier = id, path = photo })
    photos_by_id[id] = photos[i]
  end
  return known('LrCollection', {
    getName = function()
      return entry.name
    end,
    getPhotos = function()
      wait()
      return photos
    end,
  })
end

local function set_of(entry)
  local collections, sets = {}, {}
  for i, child in ipairs(entry.collections) do
    collections[i] = collection_of(child)
  end
  for i, child in ipairs(entry.sets) do
    sets[i] = set_of(child)
  end
  return known('LrCollectionSet', {
    getName = function()
      return entry.name
    end,
    getChildCollections = function()
      return collections
    end,
    getChildCollectionSets = function()
      return sets
    end,
  })
end

local catalogue = set_of(tree)
catalogue.batchGetRawMetadata = function(_, photos, keys)
  wait()
  local found = {}
  for _, photo in ipairs(photos) do
    found[photo] = {}
    for _, key in ipairs(keys) do
      found[photo][key] = photo[key]
    end
  end
  return found
end

local namespaces = {}

namespaces.LrApplication = {
  activeCatalog = function()
    return catalogue
  end,
  versionString = function()
    return 'stand-in'
  end,
}

namespaces.LrPathUtils = {
  child = function(folder, name)
    return folder .. '/' .. name
  end,
  extension = function(path)
    return path:match('%.([^./]*)$') or ''
  end,
}

namespaces.LrFileUtils = {
  exists = function(path)
    return host.exists(path)
  end,
  createAllDirectories = function(path)
    return host.create(path)
  end,
  isEmptyDirectory = function(path)
    return host.is_empty(path)
  end,
  delete = function(path)
    return host.delete(path)
  end,
  move = function(from, to)
    local moved = host.move(from, to)
    if moved == true then
      return true
    end
    return false, moved
  end,
}

local tasks = {}

namespaces.LrFunctionContext = {
  postAsyncTaskWithContext = function(name, task)
    assert(type(name) == 'string')
    tasks[#tasks + 1] = coroutine.create(function()
      task(known('LrFunctionContext', {}))
    end)
  end,
}

namespaces.LrTasks = {
  pcall = function(called, ...)
    local task = coroutine.create(called)
    local results = { coroutine.resume(task, ...) }
    while coroutine.status(task) ~= 'dead' do
      coroutine.yield()
      results = { coroutine.resume(task) }
    end
    return unpack(results)
  end,
}

namespaces.LrBinding = {
  makePropertyTable = function(context)
    assert(context)
    host.properties = {}
    return host.properties
  end,
}

local VIEWS = {
  column = { bind_to_object = 'any', spacing = 'number' },
  row = { bind_to_object = 'any', spacing = 'number' },
  static_text = { title = 'string' },
  popup_menu = { items = 'table', value = 'table' },
  checkbox = { title = 'string', value = 'table' },
  edit_field = {
    value = 'table',
    enabled = 'table',
    min = 'number',
    max = 'number',
    precision = 'number',
    width_in_digits = 'number',
  },
}

namespaces.LrView = {
  bind = function(key)
    assert(host.properties[key] ~= nil, 'bound to no property: ' .. tostring(key))
    return { bound = key }
  end,
  osFactory = function()
    local factory = {
      control_spacing = function()
        return 4
      end,
    }
    for kind, attributes in pairs(VIEWS) do
      factory[kind] = function(_, given)
        local named = {}
        for name, value in pairs(given) do
          if type(name) == 'string' then
            named[name] = value
          end
        end
        check(named, attributes, kind)
        if kind == 'popup_menu' then
          for _, item in ipairs(given.items) do
            host.item(item.title, item.value)
          end
        end
        return given
      end
    end
    return known('LrView', factory)
  end,
}

namespaces.LrDialogs = {
  attachErrorDialogToFunctionContext = function(context)
    assert(context)
  end,
  message = function(message, info, style)
    assert(set('info', 'warning', 'critical')[style])
    host.said(message .. '\n' .. info, style)
  end,
  confirm = function(message, info, action, cancel)
    assert(action and cancel)
    return host.confirmed(message .. '\n' .. info)
  end,
  presentModalDialog = function(given)
    check(given, { title = 'string', contents = 'table', actionVerb = 'string' }, 'dialog')
    return host.chosen(host.properties)
  end,
  runOpenPanel = function(given)
    check(given, {
      title = 'string',
      prompt = 'string',
      canChooseFiles = 'boolean',
      canChooseDirectories = 'boolean',
      canCreateDirectories = 'boolean',
      allowsMultipleSelection = 'boolean',
    }, 'open panel')
    return host.folder and { host.folder }
  end,
}

namespaces.LrProgressScope = function(given)
  check(given, {
    title = 'string',
    caption = 'string',
    parent = 'table',
    parentEndRange = 'number',
    functionContext = 'table',
  }, 'LrProgressScope')
  assert((given.parent == nil) == (given.parentEndRange == nil))
  assert(not given.parentEndRange or given.parentEndRange > 0 and given.parentEndRange <= 1)
  local state = { ended = false, cancelled = false }
  local scope = {
    setCaption = function(_, text)
      assert(type(text) == 'string' and not state.ended)
    end,
    cancel = function()
      state.cancelled = true
    end,
    done = function()
      assert(not state.ended, 'done twice')
      state.ended = true
    end,
    isCanceled = function()
      return state.cancelled or host.cancelled()
        or (given.parent ~= nil and given.parent:isCanceled())
    end,
  }
  if given.parent then
    host.progress(given.parentEndRange)
  end
  return known('LrProgressScope', scope)
end

namespaces.LrExportSession = function(given)
  check(given, { photosToExport = 'table', exportSettings = 'table' }, 'LrExportSession')
  local settings = given.exportSettings
  check(settings, SETTINGS, 'export settings')
  if settings.LR_format == 'JPEG' then
    assert(settings.LR_jpeg_quality >= 0 and settings.LR_jpeg_quality <= 1)
  end
  assert(host.exists(settings.LR_export_destinationPathPrefix) == 'directory')
  local session = {}
  function session.renditions(_, how)
    check(how, {
      stopIfCanceled = 'boolean',
      progressScope = 'table',
      renderProgressPortion = 'number',
    }, 'renditions')
    local i = 0
    return function()
      i = i + 1
      local photo = given.photosToExport[i]
      if not photo or how.stopIfCanceled and how.progressScope:isCanceled() then
        return nil
      end
      if host.raises(photo.path) then
        error('out of memory')
      end
      if host.forgets(photo.path) then
        return i, known('LrExportRendition', {
          photo = photo,
          wasSkipped = true,
          waitForRender = function()
            wait()
            return true, nil
          end,
        })
      end
      return i, known('LrExportRendition', {
        photo = photo,
        wasSkipped = false,
        waitForRender = function()
          wait()
          local path, fault = host.render(settings, photo.path)
          if path then
            return true, path
          end
          return false, fault
        end,
      })
    end
  end
  return known('LrExportSession', session)
end

-- What is left to a plug-in of Lua, and no more: not pcall, inside of which no task can wait.
local environment = {
  WIN_ENV = host.windows,
  error = error,
  io = { open = io.open },
  ipairs = ipairs,
  math = math,
  next = next,
  pairs = pairs,
  string = string,
  table = table,
  tonumber = tonumber,
  tostring = tostring,
  type = type,
  unpack = unpack,
}
local loaded = {}

local function run(name)
  local chunk = assert(loadstring(host.source(name), '=' .. name))
  return setfenv(chunk, environment)()
end

environment.import = function(name)
  local namespace = assert(namespaces[name], 'no namespace ' .. tostring(name))
  return type(namespace) == 'table' and known(name, namespace) or namespace
end

environment.require = function(name)
  if loaded[name] == nil then
    loaded[name] = run(name .. '.lua')
  end
  return loaded[name]
end

setmetatable(environment, {
  __index = function(_, name)
    error('no global ' .. tostring(name))
  end,
  __newindex = function(_, name)
    error('a global is set: ' .. tostring(name))
  end,
})

local function work()
  for _, task in ipairs(tasks) do
    while coroutine.status(task) ~= 'dead' do
      local fine, fault = coroutine.resume(task)
      if not fine then
        error(debug.traceback(task, fault))
      end
    end
  end
  tasks = {}
end

return run, work
