-- The settings of Lightroom's Export dialog, as its SDK names them, for one side of a preset.

local Settings = {}

local FORMATS = { jpeg = 'JPEG', png = 'PNG', tiff = 'TIFF' }
local SUFFIXES = { jpeg = 'jpg', png = 'png', tiff = 'tif' }
local SPACES = { srgb = 'sRGB', prophoto = 'ProPhotoRGB' }
local EDGES = { short = 'shortEdge', long = 'longEdge' }

-- A side is `input` or `target` of a preset in Presets.lua; `folder` is where Lightroom writes.
function Settings.of(preset, side, folder)
  local settings = {
    LR_exportServiceProvider = 'com.adobe.ag.export.file',
    LR_export_destinationType = 'specificFolder',
    LR_export_destinationPathPrefix = folder,
    LR_export_useSubfolder = false,
    -- The folder is the plug-in's own, and what lies in it was left by an export that was stopped.
    LR_collisionHandling = 'overwrite',
    LR_export_postProcessing = 'doNothing',
    LR_reimportExportedPhoto = false,
    LR_renamingTokensOn = false,
    LR_extensionCase = 'lowercase',

    LR_format = FORMATS[side.format],
    LR_export_colorSpace = SPACES[side.space],
    LR_enableHDRDisplay = false,

    LR_size_doConstrain = preset.pixels ~= nil,
    LR_outputSharpeningOn = false,
    LR_useWatermark = false,
    LR_embeddedMetadataOption = 'copyrightOnly',
    LR_minimizeEmbeddedMetadata = true,
    LR_removeLocationMetadata = true,
    LR_removeFaceMetadata = true,
    LR_includeVideoFiles = false,
  }
  if side.format == 'jpeg' then
    settings.LR_jpeg_quality = side.quality / 100
    settings.LR_jpeg_useLimitSize = false
  else
    settings.LR_export_bitDepth = side.bit_depth
    -- Newer versions keep depth and space of what is no JPEG under names of their own.
    settings.LR_export_bitDepthOthers = side.bit_depth
    settings.LR_export_colorSpaceNonJPEG = SPACES[side.space]
  end
  if side.format == 'tiff' then
    settings.LR_tiff_compressionMethod = 'compressionMethod_ZIP'
    settings.LR_tiff_preserveTransparency = false
  end
  if preset.pixels then
    settings.LR_size_resizeType = EDGES[preset.edge]
    -- For an edge only the height counts; both, so that it does not matter.
    settings.LR_size_maxHeight = preset.pixels
    settings.LR_size_maxWidth = preset.pixels
    settings.LR_size_units = 'pixels'
    settings.LR_size_doNotEnlarge = true
  end
  return settings
end

-- Of the files that Lightroom writes by them.
function Settings.suffix(side)
  return SUFFIXES[side.format]
end

-- How a side's files and their size are called in dialogs.
function Settings.words(preset, side)
  local file = side.bit_depth .. '-bit ' .. FORMATS[side.format]
  if side.quality then
    file = FORMATS[side.format] .. ' quality ' .. side.quality
  end
  local size = 'original size'
  if preset.pixels then
    size = preset.edge .. ' edge ' .. preset.pixels .. ' px'
  end
  return file .. ', ' .. SPACES[side.space] .. ', ' .. size
end

return Settings
