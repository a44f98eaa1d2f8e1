/* Every word the page says, in every language it speaks. SPDX-License-Identifier: Apache-2.0 */
export const STRINGS = {
  en: {
    skip: 'Skip to typing', newtalk: 'New', events: 'Events', settings: 'Settings', conversation: 'Conversation', level: 'Microphone level',
    welcome: 'Show it something, and ask aloud', welcome1: 'Pictures, speech and text in; words and speech out, at the same time. Nothing leaves this server.',
    welcome2: 'Space: hold to talk. Esc: interrupt. M: mute.', example: 'Take the example picture', exampleask: 'What color is the star?',
    talk: 'Talk', talking: 'Listening – press to end', hold: 'Hold to talk', holding: 'Release to send', mute: 'Mute', unmute: 'Unmute', stop: 'Interrupt',
    camera: 'Camera', picture: 'Picture', type: 'Type a message', send: 'Send', snap: 'Take the picture', close: 'Close', copy: 'Copy', remove: 'Remove the picture',
    mode: 'How to talk', free: 'Hands free', push: 'Push to talk', mic: 'Microphone', usual: 'The usual one', half: 'Do not listen while it speaks (no headphones)',
    pause: 'Silence that ends a turn (ms)', aloud: 'Answers aloud', instructions: 'System text', key: 'API key (kept for this tab only)', language: 'Language',
    theme: 'Colours', auto: 'As the system', light: 'Light', dark: 'Dark', keys: 'Keys: Space holds to talk, Esc interrupts, M mutes.',
    you: 'You', it: 'Model', connecting: 'connecting', open: 'connected', lost: 'connection lost, trying again', closed: 'not connected',
    hearing: 'Hearing you', thinking: 'Thinking', speaking: 'Speaking', ready: 'Ready', muted: 'Muted', nothing: '(nothing heard)',
    replay: 'Play', edit: 'Edit', save: 'WAV', alignment: 'Alignment', json: 'JSON', again: 'Ask again', heard: 'heard until here', branch: 'Version {0} of {1}', other: 'Other version',
    facts: 'first word {0} ms · first sound {1} ms', queue: 'queue {0} ms', rtf: '{0} of real time', dropped: '{0} gaps in the sound',
    nomic: 'The microphone is withheld', nomic1: 'Browsers give microphone and camera only to pages from https or from this same machine.',
    nomic2: 'Open this server by its secure address:', nomic3: 'Or bring it to this machine with:', nomic4: 'Typing and pictures work here all the same.',
    denied: 'The microphone was refused. Allow it in the address bar, then press Talk again.', absent: 'No microphone was found.', busy: 'The microphone is used by another program.',
    echo: 'It seems to hear itself. Headphones help, or “do not listen while it speaks” in Settings.', unplugged: 'The microphone was unplugged.',
    badpicture: 'This file is no picture that the browser can read.', failed: 'The server says: {0}', alt: 'Picture given to the model', about: '{0}, version {1}. Voice: {2}.',
    seconds: '{0} s', units: 'units', words: 'words',
    history: 'History', search: 'Search what was said', resume: 'Go on', remove1: 'Delete', clear: 'Delete all', sure: 'Really delete?',
    keep: 'Keep conversations', keepnot: 'Nowhere', keepbrowser: 'In this browser', keepserver: 'On this server',
    pastoff: 'Conversations are not kept. Settings can have them kept.', pastbrowser: 'Kept in this browser only, with sound and pictures.',
    pastserver: 'Kept on this server, with sound and pictures.', pastnone: 'Nothing here.', untitled: '(no words)', notkept: 'Not kept: {0}'
  },
  zh: {
    skip: '跳到输入框', newtalk: '新对话', events: '事件', settings: '设置', conversation: '对话', level: '麦克风音量',
    welcome: '给它看点什么,然后开口问', welcome1: '输入图片、语音和文字,同时得到文字和语音回答。数据不会离开这台服务器。',
    welcome2: '按住空格键说话,Esc 打断,M 静音。', example: '使用示例图片', exampleask: 'What color is the star?',
    talk: '开始说话', talking: '正在聆听,点按结束', hold: '按住说话', holding: '松开发送', mute: '静音', unmute: '取消静音', stop: '打断',
    camera: '相机', picture: '图片', type: '输入消息', send: '发送', snap: '拍照', close: '关闭', copy: '复制', remove: '移除图片',
    mode: '说话方式', free: '免按键', push: '按键说话', mic: '麦克风', usual: '默认设备', half: '它说话时不聆听(未戴耳机)',
    pause: '结束发言的静音时长(毫秒)', aloud: '语音回答', instructions: '系统提示', key: 'API 密钥(仅保存在此标签页)', language: '语言',
    theme: '配色', auto: '跟随系统', light: '浅色', dark: '深色', keys: '按键:按住空格说话,Esc 打断,M 静音。',
    you: '你', it: '模型', connecting: '连接中', open: '已连接', lost: '连接断开,正在重试', closed: '未连接',
    hearing: '正在听你说', thinking: '思考中', speaking: '正在说话', ready: '就绪', muted: '已静音', nothing: '(没有听到声音)',
    replay: '播放', edit: '编辑', save: 'WAV', alignment: '对齐', json: 'JSON', again: '重新提问', heard: '听到这里', branch: '第 {0} 版,共 {1} 版', other: '另一版本',
    facts: '首字 {0} 毫秒 · 首声 {1} 毫秒', queue: '排队 {0} 毫秒', rtf: '实时率 {0}', dropped: '声音中断 {0} 次',
    nomic: '麦克风不可用', nomic1: '浏览器只允许 https 页面或本机页面使用麦克风和相机。',
    nomic2: '请用安全地址打开此服务器:', nomic3: '或者用以下命令把它转到本机:', nomic4: '打字和图片在这里仍然可用。',
    denied: '麦克风被拒绝。请在地址栏中允许,然后再次点按"开始说话"。', absent: '没有找到麦克风。', busy: '麦克风正被其他程序使用。',
    echo: '它似乎听到了自己的声音。请戴耳机,或在设置中选择"它说话时不聆听"。', unplugged: '麦克风已拔出。',
    badpicture: '浏览器无法读取这个图片文件。', failed: '服务器返回:{0}', alt: '给模型看的图片', about: '{0},版本 {1}。声音:{2}。',
    seconds: '{0} 秒', units: '单元', words: '词',
    history: '历史', search: '搜索说过的话', resume: '继续', remove1: '删除', clear: '全部删除', sure: '确定删除?',
    keep: '保存对话', keepnot: '不保存', keepbrowser: '保存在此浏览器', keepserver: '保存在此服务器',
    pastoff: '对话未保存。可在设置中开启保存。', pastbrowser: '仅保存在此浏览器中,包括声音和图片。',
    pastserver: '保存在此服务器上,包括声音和图片。', pastnone: '这里没有内容。', untitled: '(没有文字)', notkept: '未能保存:{0}'
  }
};

let language = 'en';
export const setLanguage = name => { language = STRINGS[name] ? name : 'en'; document.documentElement.lang = language; };
export const getLanguage = () => language;
export const t = (name, ...values) => STRINGS[language][name].replace(/\{(\d)\}/g, (_, i) => values[i]);

/* Puts the words where the markup asks for them: data-t text, data-label aria-label, data-hint placeholder. */
export function translate(root = document) {
  for (const e of root.querySelectorAll('[data-t]')) e.textContent = t(e.dataset.t);
  for (const e of root.querySelectorAll('[data-label]')) e.setAttribute('aria-label', t(e.dataset.label));
  for (const e of root.querySelectorAll('[data-hint]')) e.placeholder = t(e.dataset.hint);
}
